"""The reverse proxy: streaming both ways, retries, timeouts, limits."""

import asyncio
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from tests.gateway.fake_server import FakeServer, ReceivedRequest, Reply, serve
from tests.gateway.mesh import ALICE, Mesh, app_document, publish_app, run_services, wait_until_ready

PREDICT = "/demo/digits/predict"


@dataclass
class ComponentServer(FakeServer):
    reply: Reply | None = None

    async def build_reply(self, request: ReceivedRequest) -> Reply:
        return self.reply or Reply(document=len(request.body))


async def publish_ports(mesh: Mesh, *ports: int, **over: object) -> None:
    await publish_app(mesh, app_document(*ports, **over))


async def test_a_call_reaches_the_component_with_its_headers(mesh: Mesh) -> None:
    sent = {**ALICE, "X-Request-ID": "r-1", "traceparent": "00-a", "X-Mlmesh-Token": "forged", "X-Own": "1"}
    status, headers, answer = await mesh.call("POST", f"{PREDICT}?a=%20b", data=b"{}", headers=sent)
    (request,) = mesh.component.requests
    assert (status, answer, headers["X-Request-ID"]) == (200, b'{"path":"/predict?a=%20b"}', "r-1")
    assert (request.method, request.target, request.body) == ("POST", "/predict?a=%20b", b"{}")
    headers_received = {
        name: request.headers.get(name) for name in ("x-mlmesh-token", "x-request-id", "traceparent", "x-own")
    }
    assert headers_received == {
        "x-mlmesh-token": f"token-{mesh.component.port}", "x-request-id": "r-1", "traceparent": "00-a", "x-own": "1"
    }  # fmt: skip
    assert "authorization" not in request.headers
    assert request.headers["x-forwarded-for"] == "127.0.0.1"


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_any_size_arrives_whole(mesh: Mesh, size: int, chunked: bool) -> None:
    async def pieces() -> object:
        for start in range(0, size, 100_000):
            yield b"x" * min(100_000, size - start)

    await mesh.call("POST", PREDICT, data=pieces() if chunked else BytesIO(b"x" * size), headers=ALICE)
    assert mesh.component.requests[0].body == b"x" * size


async def test_an_answer_streams_before_it_is_complete(mesh: Mesh) -> None:
    gate = asyncio.Event()
    async with serve(ComponentServer(reply=Reply(pieces=[b"first", b"last"], gate=gate))) as slow:
        await publish_ports(mesh, slow.port)
        async with mesh.session.post(mesh.url + PREDICT, headers=ALICE) as answer:
            assert await answer.content.readexactly(5) == b"first"
            gate.set()
            assert await answer.content.read() == b"last"


async def test_a_large_answer_arrives_whole(mesh: Mesh) -> None:
    async with serve(ComponentServer(reply=Reply(pieces=[b"x" * 1_000_000] * 8))) as large:
        await publish_ports(mesh, large.port)
        assert len((await mesh.call("POST", PREDICT, headers=ALICE))[2]) == 8_000_000


async def test_a_caller_who_hangs_up_ends_the_call_at_the_component(mesh: Mesh) -> None:
    mesh.component.never_responds = True
    with pytest.raises(asyncio.TimeoutError):
        await mesh.call("POST", PREDICT, headers=ALICE, timeout=aiohttp.ClientTimeout(total=0.3))
    async with asyncio.timeout(5):
        await mesh.component.disconnected.wait()


async def test_a_component_that_takes_too_long_is_504(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.predict.handler.PREDICT_MARGIN_S", 0.1)
    components = app_document(mesh.component.port)["components"]
    components["classifier"]["timeout"] = 0.1
    await publish_ports(mesh, mesh.component.port, components=components)
    mesh.component.never_responds = True
    status, headers, problem = await mesh.call("POST", PREDICT, headers=ALICE)
    assert (status, headers["Content-Type"], problem["retryable"]) == (504, "application/problem+json", True)


async def test_nothing_healthy_is_503_with_the_reason(mesh: Mesh) -> None:
    await publish_ports(mesh)
    status, headers, problem = await mesh.call("POST", PREDICT, headers=ALICE)
    assert (status, headers["Retry-After"]) == (503, "1")
    assert problem["reason"] == {"code": "image", "detail": "still pulled"}


async def test_a_refused_connection_is_tried_elsewhere(mesh: Mesh) -> None:
    async with serve(FakeServer()) as gone:
        closed = gone.port
    await publish_ports(mesh, closed, mesh.component.port)
    assert (await mesh.call("POST", PREDICT, headers=ALICE))[0] == 200


async def test_a_call_that_was_not_started_is_repeated_elsewhere_with_its_body(mesh: Mesh) -> None:
    refusal = Reply(503, {}, headers={"X-Mlmesh-Not-Started": "1"})
    async with serve(ComponentServer(reply=refusal)) as busy:
        await publish_ports(mesh, busy.port, mesh.component.port)
        assert (await mesh.call("POST", PREDICT, data=b"body", headers=ALICE))[0] == 200
    assert (busy.requests[0].body, mesh.component.requests[0].body) == (b"body", b"body")


async def test_a_connection_that_went_stale_is_replaced(mesh: Mesh) -> None:
    port = mesh.component.port
    async with serve(ComponentServer()) as first:
        port = first.port
        await publish_ports(mesh, port)
        assert (await mesh.call("POST", PREDICT, headers=ALICE))[0] == 200
    async with serve(ComponentServer(), port):
        assert (await mesh.call("POST", PREDICT, headers=ALICE))[0] == 200


async def test_a_body_over_the_limit_is_413(tmp_path: Path) -> None:
    async def pieces() -> object:
        for _ in range(20):
            yield b"x" * 100

    async with run_services(tmp_path, body_limit=1000) as mesh, mesh.gateway():
        await wait_until_ready(mesh)
        assert (await mesh.call("POST", PREDICT, data=b"x" * 1001, headers=ALICE))[0] == 413
        assert mesh.component.requests == []
        assert (await mesh.call("POST", PREDICT, data=pieces(), headers=ALICE))[0] == 413


async def test_a_caller_who_calls_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with run_services(tmp_path, caller_rate=2) as mesh, mesh.gateway():
        await wait_until_ready(mesh)
        responses = [await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE) for _ in range(4)]
        assert [status for status, _, _ in responses][:2] == [200, 200]
        status, headers, answer = responses[-1]
        assert (status, headers["Retry-After"]) == (429, "1")
        assert answer["detail"] == "rate limit exceeded: 2 calls per second for each caller"
        assert (await mesh.call("POST", "/demo/keyed/predict", headers={"X-API-Key": "key-of-bob"}))[0] == 200


CALLS_BEHIND_A_PROXY = [
    ("192.0.2.1", 200),
    ("192.0.2.1:81", 429),
    ("192.0.2.2", 200),
    ("192.0.2.2", 429),
    ("2001:db8::1", 200),
    ("[2001:db8::2]:81", 429),  # one customer has all of 2001:db8::/64
    ("2001:db8:0:1::1", 200),
]


async def test_callers_behind_a_proxy_are_counted_each_for_themselves(tmp_path: Path) -> None:
    async with run_services(tmp_path, caller_rate=1, trusted_proxies=("127.0.0.1",)) as mesh, mesh.gateway():
        await wait_until_ready(mesh)
        for address, status in CALLS_BEHIND_A_PROXY:
            response_status, _, _ = await mesh.call("POST", "/demo/open/predict", headers={"X-Forwarded-For": address})
            assert response_status == status, address


async def test_who_is_no_proxy_is_one_caller_whatever_it_says(tmp_path: Path) -> None:
    async with run_services(tmp_path, caller_rate=1) as mesh, mesh.gateway():
        await wait_until_ready(mesh)
        for address, status in [("192.0.2.1", 200), ("192.0.2.2", 429)]:
            response_status, _, _ = await mesh.call("POST", "/demo/open/predict", headers={"X-Forwarded-For": address})
            assert response_status == status, address


@pytest.mark.parametrize("status", [429, 503])
async def test_a_refusal_by_all_instances_is_told_with_when_to_come_again(mesh: Mesh, status: int) -> None:
    async with serve(ComponentServer(reply=Reply(status, {}, headers={"X-Mlmesh-Not-Started": "1"}))) as busy:
        await publish_ports(mesh, busy.port)
        response_status, headers, _ = await mesh.call("POST", PREDICT, data=b"body", headers=ALICE)
    assert (response_status, headers["Retry-After"]) == (status, "1")


async def test_why_a_component_refuses_is_passed_on(mesh: Mesh) -> None:
    detail = {"detail": "The file of input 'page' cannot be fetched: [Errno 111] Connection refused."}
    async with serve(ComponentServer(reply=Reply(503, detail, headers={"X-Mlmesh-Not-Started": "1"}))) as busy:
        await publish_ports(mesh, busy.port)
        _, _, problem = await mesh.call("POST", PREDICT, data=b"body", headers=ALICE)
    assert problem["detail"] == f"classifier does not accept calls at the moment: {detail['detail']}"


async def test_a_component_cannot_speak_for_the_mesh(mesh: Mesh) -> None:
    forged = {"X-Mlmesh-Error": "1", "X-Mlmesh-User": "root", "X-Own": "1"}
    async with serve(ComponentServer(reply=Reply(500, {}, headers=forged))) as forger:
        await publish_ports(mesh, forger.port)
        status, headers, _ = await mesh.call("POST", PREDICT, data=b"body", headers=ALICE)
    assert (status, headers["X-Own"]) == (500, "1")
    assert not [name for name in headers if name.lower().startswith("x-mlmesh-")]


@pytest.mark.parametrize("path", ["/demo/runs/", "/demo/runs/a/", "/api/v1/apps/", "/api/v1/apps/demo/components/"])
async def test_a_slash_at_the_end_means_nothing(mesh: Mesh, path: str) -> None:
    token = {"Authorization": "Bearer owner"} if path.startswith("/api") else ALICE
    await mesh.call("GET", path, headers=token)
    targets = [
        request.target
        for request in (*mesh.scheduler.requests, *mesh.registry.requests)
        if "verify" not in request.target
    ]
    expected = path.replace("/demo/runs", "/internal/apps/demo/runs").rstrip("/")
    assert expected in targets
