"""Calls pass through, streaming both ways."""

import asyncio
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from tests.gateway.fake_server import Asked, Reply, StandIn, serving
from tests.gateway.mesh import ALICE, Mesh, document, published, ready, services

PREDICT = "/demo/digits/predict"


@dataclass
class Component(StandIn):
    reply: Reply | None = None

    async def decide(self, asked: Asked) -> Reply:
        return self.reply or Reply(document=len(asked.body))


async def routed(mesh: Mesh, *ports: int, **over: object) -> None:
    await published(mesh, document(*ports, **over))


async def test_a_call_reaches_the_component_with_its_headers(mesh: Mesh) -> None:
    sent = {**ALICE, "X-Request-ID": "r-1", "traceparent": "00-a", "X-Mlmesh-Token": "forged", "X-Own": "1"}
    status, headers, answer = await mesh.call("POST", f"{PREDICT}?a=%20b", data=b"{}", headers=sent)
    (asked,) = mesh.component.asked
    assert (status, answer, headers["X-Request-ID"]) == (200, b'{"path":"/predict?a=%20b"}', "r-1")
    assert (asked.method, asked.target, asked.body) == ("POST", "/predict?a=%20b", b"{}")
    found = {name: asked.headers.get(name) for name in ("x-mlmesh-token", "x-request-id", "traceparent", "x-own")}
    assert found == {
        "x-mlmesh-token": f"token-{mesh.component.port}", "x-request-id": "r-1", "traceparent": "00-a", "x-own": "1"
    }  # fmt: skip
    assert "authorization" not in asked.headers
    assert asked.headers["x-forwarded-for"] == "127.0.0.1"


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_any_size_arrives_whole(mesh: Mesh, size: int, chunked: bool) -> None:
    async def pieces() -> object:
        for start in range(0, size, 100_000):
            yield b"x" * min(100_000, size - start)

    await mesh.call("POST", PREDICT, data=pieces() if chunked else BytesIO(b"x" * size), headers=ALICE)
    assert mesh.component.asked[0].body == b"x" * size


async def test_an_answer_streams_before_it_is_complete(mesh: Mesh) -> None:
    gate = asyncio.Event()
    async with serving(Component(reply=Reply(pieces=[b"first", b"last"], gate=gate))) as slow:
        await routed(mesh, slow.port)
        async with mesh.session.post(mesh.url + PREDICT, headers=ALICE) as answer:
            assert await answer.content.readexactly(5) == b"first"
            gate.set()
            assert await answer.content.read() == b"last"


async def test_a_large_answer_arrives_whole(mesh: Mesh) -> None:
    async with serving(Component(reply=Reply(pieces=[b"x" * 1_000_000] * 8))) as large:
        await routed(mesh, large.port)
        assert len((await mesh.call("POST", PREDICT, headers=ALICE))[2]) == 8_000_000


async def test_a_caller_who_hangs_up_ends_the_call_at_the_component(mesh: Mesh) -> None:
    mesh.component.hold = True
    with pytest.raises(asyncio.TimeoutError):
        await mesh.call("POST", PREDICT, headers=ALICE, timeout=aiohttp.ClientTimeout(total=0.3))
    async with asyncio.timeout(5):
        await mesh.component.hung_up.wait()


async def test_a_component_that_takes_too_long_is_504(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.predict.handler.PREDICT_MARGIN_S", 0.1)
    components = document(mesh.component.port)["components"]
    components["classifier"]["timeout"] = 0.1
    await routed(mesh, mesh.component.port, components=components)
    mesh.component.hold = True
    status, headers, problem = await mesh.call("POST", PREDICT, headers=ALICE)
    assert (status, headers["Content-Type"], problem["retryable"]) == (504, "application/problem+json", True)


async def test_nothing_healthy_is_503_with_the_reason(mesh: Mesh) -> None:
    await routed(mesh)
    status, headers, problem = await mesh.call("POST", PREDICT, headers=ALICE)
    assert (status, headers["Retry-After"]) == (503, "1")
    assert problem["reason"] == {"code": "image", "detail": "still pulled"}


async def test_a_refused_connection_is_tried_elsewhere(mesh: Mesh) -> None:
    async with serving(StandIn()) as gone:
        closed = gone.port
    await routed(mesh, closed, mesh.component.port)
    assert (await mesh.call("POST", PREDICT, headers=ALICE))[0] == 200


async def test_a_call_that_was_not_started_is_repeated_elsewhere_with_its_body(mesh: Mesh) -> None:
    refusal = Reply(503, {}, headers={"X-Mlmesh-Not-Started": "1"})
    async with serving(Component(reply=refusal)) as busy:
        await routed(mesh, busy.port, mesh.component.port)
        assert (await mesh.call("POST", PREDICT, data=b"body", headers=ALICE))[0] == 200
    assert (busy.asked[0].body, mesh.component.asked[0].body) == (b"body", b"body")


async def test_a_connection_that_went_stale_is_replaced(mesh: Mesh) -> None:
    port = mesh.component.port
    async with serving(Component()) as first:
        port = first.port
        await routed(mesh, port)
        assert (await mesh.call("POST", PREDICT, headers=ALICE))[0] == 200
    async with serving(Component(), port):
        assert (await mesh.call("POST", PREDICT, headers=ALICE))[0] == 200


async def test_a_body_over_the_limit_is_413(tmp_path: Path) -> None:
    async def pieces() -> object:
        for _ in range(20):
            yield b"x" * 100

    async with services(tmp_path, body_limit=1000) as mesh, mesh.gateway():
        await ready(mesh)
        assert (await mesh.call("POST", PREDICT, data=b"x" * 1001, headers=ALICE))[0] == 413
        assert mesh.component.asked == []
        assert (await mesh.call("POST", PREDICT, data=pieces(), headers=ALICE))[0] == 413


async def test_a_caller_who_calls_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with services(tmp_path, caller_rate=2) as mesh, mesh.gateway():
        await ready(mesh)
        found = [await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE) for _ in range(4)]
        assert [status for status, _, _ in found][:2] == [200, 200]
        status, headers, answer = found[-1]
        assert (status, headers["Retry-After"]) == (429, "1")
        assert answer["detail"] == "a caller may make 2 calls a second here"
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
    async with services(tmp_path, caller_rate=1, trusted_proxies=("127.0.0.1",)) as mesh, mesh.gateway():
        await ready(mesh)
        for address, status in CALLS_BEHIND_A_PROXY:
            found, _, _ = await mesh.call("POST", "/demo/open/predict", headers={"X-Forwarded-For": address})
            assert found == status, address


async def test_who_is_no_proxy_is_one_caller_whatever_it_says(tmp_path: Path) -> None:
    async with services(tmp_path, caller_rate=1) as mesh, mesh.gateway():
        await ready(mesh)
        for address, status in [("192.0.2.1", 200), ("192.0.2.2", 429)]:
            found, _, _ = await mesh.call("POST", "/demo/open/predict", headers={"X-Forwarded-For": address})
            assert found == status, address


@pytest.mark.parametrize("status", [429, 503])
async def test_a_refusal_by_all_instances_is_told_with_when_to_come_again(mesh: Mesh, status: int) -> None:
    async with serving(Component(reply=Reply(status, {}, headers={"X-Mlmesh-Not-Started": "1"}))) as busy:
        await routed(mesh, busy.port)
        found, headers, _ = await mesh.call("POST", PREDICT, data=b"body", headers=ALICE)
    assert (found, headers["Retry-After"]) == (status, "1")


async def test_why_a_component_refuses_is_passed_on(mesh: Mesh) -> None:
    said = {"detail": "The file of input 'page' cannot be fetched: [Errno 111] Connection refused."}
    async with serving(Component(reply=Reply(503, said, headers={"X-Mlmesh-Not-Started": "1"}))) as busy:
        await routed(mesh, busy.port)
        _, _, problem = await mesh.call("POST", PREDICT, data=b"body", headers=ALICE)
    assert problem["detail"] == f"classifier does not take calls at the moment: {said['detail']}"


async def test_a_component_cannot_speak_for_the_mesh(mesh: Mesh) -> None:
    forged = {"X-Mlmesh-Error": "1", "X-Mlmesh-User": "root", "X-Own": "1"}
    async with serving(Component(reply=Reply(500, {}, headers=forged))) as forger:
        await routed(mesh, forger.port)
        status, headers, _ = await mesh.call("POST", PREDICT, data=b"body", headers=ALICE)
    assert (status, headers["X-Own"]) == (500, "1")
    assert not [name for name in headers if name.lower().startswith("x-mlmesh-")]


@pytest.mark.parametrize("path", ["/demo/runs/", "/demo/runs/a/", "/api/v1/apps/", "/api/v1/apps/demo/components/"])
async def test_a_slash_at_the_end_means_nothing(mesh: Mesh, path: str) -> None:
    token = {"Authorization": "Bearer owner"} if path.startswith("/api") else ALICE
    await mesh.call("GET", path, headers=token)
    asked = [one.target for one in (*mesh.scheduler.asked, *mesh.registry.asked) if "verify" not in one.target]
    wanted = path.replace("/demo/runs", "/internal/apps/demo/runs").rstrip("/")
    assert wanted in asked
