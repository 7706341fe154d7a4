"""Cold starts: calls of a component that is scaled to zero are held until an instance is ready."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from tests.gateway.mesh import ALICE, DEADLINE_S, Mesh, app_document, wait_until

PREDICT = "/demo/digits/predict"
WAKES_WITHIN_S = 20.0


def scaled_to_zero(*ports: int, **overrides: Any) -> dict[str, Any]:
    document = app_document(*ports)
    document["components"]["classifier"] |= {
        "scales": True,
        "wakes_within": None if ports else WAKES_WITHIN_S,
        **overrides,
    }
    return {"demo": document}


def reported_loads(mesh: Mesh) -> list[float]:
    """The loads that the gateway reported, in order."""
    reports = [orjson.loads(request.body) for request in mesh.scheduler.requests if request.target == "/internal/loads"]
    return [load["load"] for report in reports for load in report["loads"] if load["component"] == "classifier"]


async def start_held_calls(mesh: Mesh, calls: int = 1) -> list[asyncio.Task[Any]]:
    loads_before = len(reported_loads(mesh))
    tasks = [asyncio.create_task(mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)) for _ in range(calls)]
    await wait_until(
        lambda: bool(reported_loads(mesh)[loads_before:]) and max(reported_loads(mesh)[loads_before:]) >= calls
    )
    return tasks


async def publish_apps(mesh: Mesh, apps: dict[str, Any]) -> None:
    mesh.scheduler.publish(apps)
    requests_before = len(mesh.scheduler.requests)
    await wait_until(lambda: len(mesh.scheduler.requests) > requests_before + 1)


async def test_a_call_waits_for_the_instance_that_it_wakes(mesh: Mesh) -> None:
    await publish_apps(mesh, scaled_to_zero())
    calls = await start_held_calls(mesh, 3)
    assert not any(call.done() for call in calls)
    mesh.scheduler.publish(scaled_to_zero(mesh.component.port))
    for status, headers, _ in await asyncio.gather(*calls):
        assert status == 200
        assert headers["Server-Timing"].startswith("cold;dur=")
    status, headers, _ = await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)
    assert (status, headers["Server-Timing"].partition(";")[0]) == (200, "upstream")


async def test_a_call_ends_with_the_reason_when_nothing_wakes(mesh: Mesh) -> None:
    await publish_apps(mesh, scaled_to_zero(wakes_within=0.2))
    status, headers, answer = await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)
    assert (status, headers["Retry-After"], answer["reason"]["code"]) == (503, "1", "image")


async def test_a_call_ends_when_the_instance_is_known_to_fail(mesh: Mesh) -> None:
    await publish_apps(mesh, scaled_to_zero())
    [call] = await start_held_calls(mesh)
    mesh.scheduler.publish(scaled_to_zero(wakes_within=None, reason={"code": "exited", "detail": "ImportError: x"}))
    status, _, answer = await call
    assert (status, answer["reason"]["detail"]) == (503, "ImportError: x")


async def test_a_component_that_goes_while_a_call_waits_is_not_found(mesh: Mesh) -> None:
    await publish_apps(mesh, scaled_to_zero())
    [call] = await start_held_calls(mesh)
    mesh.scheduler.publish({})
    assert (await call)[0] == 404


async def test_as_many_calls_wait_as_may_and_who_hangs_up_makes_room(mesh: Mesh) -> None:
    await publish_apps(mesh, scaled_to_zero())
    calls = await start_held_calls(mesh, 10)
    status, headers, _ = await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)
    assert (status, headers["Retry-After"]) == (429, "1")
    calls[0].cancel()
    retried = await hold_when_possible(mesh)
    mesh.scheduler.publish(scaled_to_zero(mesh.component.port))
    assert {(await call)[0] for call in (*calls[1:], retried)} == {200}


async def test_one_caller_cannot_take_all_places_of_a_component_that_sleeps(mesh: Mesh) -> None:
    await publish_apps(mesh, scaled_to_zero())
    calls = await start_held_calls(mesh, 10)
    assert (await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE))[0] == 429
    other = asyncio.create_task(mesh.call("POST", "/demo/open/predict", data=b"{}"))
    await wait_until(lambda: max(reported_loads(mesh)) >= 11)
    assert (await mesh.call("POST", "/demo/keyed/predict", data=b"{}", headers={"X-API-Key": "key-of-bob"}))[0] == 429
    mesh.scheduler.publish(scaled_to_zero(mesh.component.port))
    assert {(await call)[0] for call in (*calls, other)} == {200}


async def hold_when_possible(mesh: Mesh) -> asyncio.Task[Any]:
    """Retry until a call is held instead of rejected."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            call = asyncio.create_task(mesh.call("POST", PREDICT, data=b"{}", headers=ALICE))
            done, _ = await asyncio.wait([call], timeout=0.2)
            if not done:
                return call
            assert call.result()[0] == 429


async def test_the_load_is_told_while_there_are_calls(mesh: Mesh) -> None:
    await publish_apps(mesh, scaled_to_zero(mesh.component.port))
    await asyncio.gather(*(mesh.call("POST", PREDICT, data=b"{}", headers=ALICE) for _ in range(5)))
    await wait_until(lambda: bool(reported_loads(mesh)))
    assert 0 < reported_loads(mesh)[0] < 5


async def test_a_caller_who_does_not_wait_so_long_is_told_in_time(mesh: Mesh) -> None:
    await publish_apps(mesh, scaled_to_zero())
    headers = {**ALICE, "X-Request-Timeout": "0.2"}
    status, _, answer = await mesh.call("POST", PREDICT, data=b"{}", headers=headers)
    assert (status, answer["detail"]) == (504, "No instance of classifier became ready within 0.2 s")


async def test_what_is_left_of_a_callers_patience_goes_with_the_call(mesh: Mesh) -> None:
    await publish_apps(mesh, scaled_to_zero())
    headers = {**ALICE, "X-Request-Timeout": "600"}
    call = asyncio.create_task(mesh.call("POST", PREDICT, data=b"{}", headers=headers))
    await wait_until(lambda: bool(reported_loads(mesh)))
    mesh.scheduler.publish(scaled_to_zero(mesh.component.port))
    assert (await call)[0] == 200
    assert 10 < float(mesh.component.requests[-1].headers["x-request-timeout"]) < 600
