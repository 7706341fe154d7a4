"""What Prometheus is told."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.gateway.fake_server import Asked, Reply, StandIn, serving
from tests.gateway.mesh import ALICE, INTERNAL, Mesh, bearer, document, published, ready, services

PREDICT = "/demo/digits/predict"


@dataclass
class Batched(StandIn):
    """Says of each call that it waited a quarter of a second, and was one of three."""

    says: dict[str, str] = field(default_factory=lambda: {"Server-Timing": "queue;dur=250.0", "X-Mlmesh-Batch": "3"})

    async def decide(self, asked: Asked) -> Reply:
        return Reply(document={}, headers=self.says)


async def test_predictions_are_counted_by_component_and_status(mesh: Mesh) -> None:
    async with serving(Batched()) as batched:
        await published(mesh, document(batched.port))
        await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)
        _, headers, _ = await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)
    assert [one.partition(";")[0] for one in headers["Server-Timing"].split(", ")] == ["upstream", "queue"]
    assert "X-Mlmesh-Batch" not in headers
    await mesh.call("POST", PREDICT, data=b"{}", headers={"Authorization": "Basic bm9ib2R5Og=="})
    content: bytes = (await mesh.call("GET", "/metrics", headers=bearer(INTERNAL)))[2]
    said = dict(line.rsplit(" ", 1) for line in content.decode().splitlines() if not line.startswith("#"))
    of = 'app="demo",component="classifier"'
    assert said[f'mlmesh_predictions_total{{{of},status="200"}}'] == "2.0"
    assert said[f"mlmesh_prediction_seconds_count{{{of}}}"] == "2.0"
    assert said[f"mlmesh_predictions_under_way{{{of}}}"] == "0.0"
    assert said[f"mlmesh_instances{{{of}}}"] == "1.0"
    assert said[f"mlmesh_batch_size_sum{{{of}}}"] == "6.0"
    assert said[f"mlmesh_prediction_queue_seconds_total{{{of}}}"] == "0.5"
    assert said['mlmesh_gateway_requests_total{method="POST",status="401"}'] == "1.0"


async def test_each_request_is_a_line_of_the_access_log(tmp_path: Path) -> None:
    written = io.StringIO()
    with redirect_stdout(written):
        async with services(tmp_path, access_log=True) as mesh, mesh.gateway():
            await ready(mesh)
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
        async with services(tmp_path, access_log=True, trusted_proxies=("127.0.0.1",)) as mesh, mesh.gateway():
            await mesh.call("GET", "/nothing/at/all", headers={"X-Forwarded-For": "192.0.2.1:4711"})
    assert [json.loads(line)["client"] for line in written.getvalue().splitlines()] == ["192.0.2.1"]


@pytest.mark.parametrize("told", ["-5", "inf", "nan", "soon", "9" * 5000])
async def test_a_component_that_tells_nonsense_of_itself_spoils_no_numbers(mesh: Mesh, told: str) -> None:
    async with serving(Batched(says={"Server-Timing": f"queue;dur={told}", "X-Mlmesh-Batch": told})) as nonsense:
        await published(mesh, document(nonsense.port))
        assert (await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE))[0] == 200
    status, _, content = await mesh.call("GET", "/metrics", headers=bearer(INTERNAL))
    assert status == 200
    of = b'app="demo",component="classifier"'
    assert b"mlmesh_prediction_queue_seconds_total{%b} 0.0" % of in content
    assert b"mlmesh_batch_size_count{%b} 0.0" % of in content
