"""Metrics and the access log."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.gateway.fake_server import FakeServer, ReceivedRequest, Reply, serve
from tests.gateway.mesh import (
    ALICE,
    INTERNAL,
    Mesh,
    app_document,
    bearer_auth,
    publish_app,
    run_services,
    wait_until_ready,
)

PREDICT = "/demo/digits/predict"


@dataclass
class BatchingServer(FakeServer):
    """Reports for each call 250 ms in the queue and a batch of three."""

    headers: dict[str, str] = field(default_factory=lambda: {"Server-Timing": "queue;dur=250.0", "X-Mlmesh-Batch": "3"})

    async def build_reply(self, request: ReceivedRequest) -> Reply:
        return Reply(document={}, headers=self.headers)


async def test_predictions_are_counted_by_component_and_status(mesh: Mesh) -> None:
    async with serve(BatchingServer()) as batched:
        await publish_app(mesh, app_document(batched.port))
        await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)
        _, headers, _ = await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)
    assert [entry.partition(";")[0] for entry in headers["Server-Timing"].split(", ")] == ["upstream", "queue"]
    assert "X-Mlmesh-Batch" not in headers
    await mesh.call("POST", PREDICT, data=b"{}", headers={"Authorization": "Basic bm9ib2R5Og=="})
    content: bytes = (await mesh.call("GET", "/metrics", headers=bearer_auth(INTERNAL)))[2]
    samples = dict(line.rsplit(" ", 1) for line in content.decode().splitlines() if not line.startswith("#"))
    labels = 'app="demo",component="classifier"'
    assert samples[f'mlmesh_predictions_total{{{labels},status="200"}}'] == "2.0"
    assert samples[f"mlmesh_prediction_seconds_count{{{labels}}}"] == "2.0"
    assert samples[f"mlmesh_predictions_under_way{{{labels}}}"] == "0.0"
    assert samples[f"mlmesh_instances{{{labels}}}"] == "1.0"
    assert samples[f"mlmesh_batch_size_sum{{{labels}}}"] == "6.0"
    assert samples[f"mlmesh_prediction_queue_seconds_total{{{labels}}}"] == "0.5"
    assert samples['mlmesh_gateway_requests_total{method="POST",status="401"}'] == "1.0"


async def test_each_request_is_a_line_of_the_access_log(tmp_path: Path) -> None:
    written = io.StringIO()
    with redirect_stdout(written):
        async with run_services(tmp_path, access_log=True) as mesh, mesh.gateway():
            await wait_until_ready(mesh)
            await mesh.call("POST", PREDICT, data=b"{}", headers={**ALICE, "X-Request-ID": "r-1"})
            await mesh.call("GET", "/nothing/at/all")
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    (called,) = [line for line in lines if line["request_id"] == "r-1"]
    assert {name: called[name] for name in ("user", "client", "method", "path", "status")} == {
        "user": "alice", "client": "127.0.0.1", "method": "POST", "path": PREDICT, "status": 200
    }  # fmt: skip
    assert called["ms"] > 0
    assert called["bytes"] == len('{"path":"/predict"}')
    assert [line["status"] for line in lines if line["path"] == "/nothing/at/all"] == [404]


async def test_behind_a_proxy_a_line_names_who_called(tmp_path: Path) -> None:
    written = io.StringIO()
    with redirect_stdout(written):
        async with run_services(tmp_path, access_log=True, trusted_proxies=("127.0.0.1",)) as mesh, mesh.gateway():
            await mesh.call("GET", "/nothing/at/all", headers={"X-Forwarded-For": "192.0.2.1:4711"})
    assert [json.loads(line)["client"] for line in written.getvalue().splitlines()] == ["192.0.2.1"]


@pytest.mark.parametrize("nonsense_value", ["-5", "inf", "nan", "soon", "9" * 5000])
async def test_a_component_that_tells_nonsense_of_itself_spoils_no_numbers(mesh: Mesh, nonsense_value: str) -> None:
    async with serve(
        BatchingServer(headers={"Server-Timing": f"queue;dur={nonsense_value}", "X-Mlmesh-Batch": nonsense_value})
    ) as nonsense:
        await publish_app(mesh, app_document(nonsense.port))
        assert (await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE))[0] == 200
    status, _, content = await mesh.call("GET", "/metrics", headers=bearer_auth(INTERNAL))
    assert status == 200
    labels = b'app="demo",component="classifier"'
    assert b"mlmesh_prediction_queue_seconds_total{%b} 0.0" % labels in content
    assert b"mlmesh_batch_size_count{%b} 0.0" % labels in content
