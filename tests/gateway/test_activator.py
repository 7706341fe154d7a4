"""Calls of a component that sleeps are held until it has an instance."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import orjson

from tests.gateway.mesh import ALICE, Mesh, document, until

PREDICT = "/demo/digits/predict"
WAKES_WITHIN_S = 20.0


def sleeping(*ports: int, **over: Any) -> dict[str, Any]:
    found = document(*ports)
    found["components"]["classifier"] |= {"scales": True, "wakes_within": None if ports else WAKES_WITHIN_S, **over}
    return {"demo": found}


def told(mesh: Mesh) -> list[float]:
    """The loads that the gateway told of, in their order."""
    said = [orjson.loads(one.body) for one in mesh.scheduler.asked if one.target == "/internal/loads"]
    return [load["load"] for one in said for load in one["loads"] if load["component"] == "classifier"]


async def held(mesh: Mesh, calls: int = 1) -> list[asyncio.Task[Any]]:
    before = len(told(mesh))
    tasks = [asyncio.create_task(mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)) for _ in range(calls)]
    await until(lambda: bool(told(mesh)[before:]) and max(told(mesh)[before:]) >= calls)
    return tasks


async def published(mesh: Mesh, apps: dict[str, Any]) -> None:
    mesh.scheduler.publish(apps)
    before = len(mesh.scheduler.asked)
    await until(lambda: len(mesh.scheduler.asked) > before + 1)


async def test_a_call_waits_for_the_instance_that_it_wakes(mesh: Mesh) -> None:
    await published(mesh, sleeping())
    calls = await held(mesh, 3)
    assert not any(call.done() for call in calls)
    mesh.scheduler.publish(sleeping(mesh.component.port))
    for status, headers, _ in await asyncio.gather(*calls):
        assert status == 200
        assert headers["Server-Timing"].startswith("cold;dur=")
    status, headers, _ = await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)
    assert (status, headers["Server-Timing"].partition(";")[0]) == (200, "upstream")


async def test_a_call_ends_with_the_reason_when_nothing_wakes(mesh: Mesh) -> None:
    await published(mesh, sleeping(wakes_within=0.2))
    status, headers, answer = await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)
    assert (status, headers["Retry-After"], answer["reason"]["code"]) == (503, "1", "image")


async def test_a_call_ends_when_the_instance_is_known_to_fail(mesh: Mesh) -> None:
    await published(mesh, sleeping())
    [call] = await held(mesh)
    mesh.scheduler.publish(sleeping(wakes_within=None, reason={"code": "exited", "detail": "ImportError: x"}))
    status, _, answer = await call
    assert (status, answer["reason"]["detail"]) == (503, "ImportError: x")


async def test_a_component_that_goes_while_a_call_waits_is_not_found(mesh: Mesh) -> None:
    await published(mesh, sleeping())
    [call] = await held(mesh)
    mesh.scheduler.publish({})
    assert (await call)[0] == 404


async def test_as_many_calls_wait_as_may_and_who_hangs_up_makes_room(mesh: Mesh) -> None:
    await published(mesh, sleeping())
    calls = await held(mesh, 10)
    status, headers, _ = await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)
    assert (status, headers["Retry-After"]) == (429, "1")
    calls[0].cancel()
    again = await room(mesh)
    mesh.scheduler.publish(sleeping(mesh.component.port))
    assert {(await call)[0] for call in (*calls[1:], again)} == {200}


async def test_one_caller_cannot_take_all_places_of_a_component_that_sleeps(mesh: Mesh) -> None:
    await published(mesh, sleeping())
    calls = await held(mesh, 10)
    assert (await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE))[0] == 429
    other = asyncio.create_task(mesh.call("POST", "/demo/open/predict", data=b"{}"))
    await until(lambda: max(told(mesh)) >= 11)
    assert (await mesh.call("POST", "/demo/keyed/predict", data=b"{}", headers={"X-API-Key": "key-of-bob"}))[0] == 429
    mesh.scheduler.publish(sleeping(mesh.component.port))
    assert {(await call)[0] for call in (*calls, other)} == {200}


async def room(mesh: Mesh) -> asyncio.Task[Any]:
    """A call that is held, once there is room for it."""
    async with asyncio.timeout(10):
        while True:
            call = asyncio.create_task(mesh.call("POST", PREDICT, data=b"{}", headers=ALICE))
            done, _ = await asyncio.wait([call], timeout=0.2)
            if not done:
                return call
            assert call.result()[0] == 429


async def test_the_load_is_told_while_there_are_calls_and_no_longer(mesh: Mesh) -> None:
    await published(mesh, sleeping(mesh.component.port))
    timeout = aiohttp.ClientTimeout(total=5)
    await asyncio.gather(*(mesh.call("POST", PREDICT, data=b"{}", headers=ALICE, timeout=timeout) for _ in range(5)))
    await until(lambda: len(told(mesh)) == 1)
    assert 0 < told(mesh)[0] < 5
    await asyncio.sleep(2.2)
    assert len(told(mesh)) == 1


async def test_a_caller_who_does_not_wait_so_long_is_told_in_time(mesh: Mesh) -> None:
    await published(mesh, sleeping())
    headers = {**ALICE, "X-Request-Timeout": "0.2"}
    status, _, answer = await mesh.call("POST", PREDICT, data=b"{}", headers=headers)
    assert (status, answer["detail"]) == (504, "classifier had no instance within 0.2 s")


async def test_what_is_left_of_a_callers_patience_goes_with_the_call(mesh: Mesh) -> None:
    await published(mesh, sleeping())
    headers = {**ALICE, "X-Request-Timeout": "20"}
    call = asyncio.create_task(mesh.call("POST", PREDICT, data=b"{}", headers=headers))
    await until(lambda: bool(told(mesh)))
    mesh.scheduler.publish(sleeping(mesh.component.port))
    assert (await call)[0] == 200
    assert 10 < float(mesh.component.asked[-1].headers["x-request-timeout"]) < 20
