"""The table, followed: nothing is refused for news that are on their way."""

from __future__ import annotations

import asyncio

from tests.gateway.mesh import ALICE, Mesh, app_document

CALL = "/late/digits/predict"


async def test_what_the_table_lacks_is_looked_for_before_it_is_refused(mesh: Mesh) -> None:
    assert (await mesh.call("POST", CALL, headers=ALICE))[0] == 404
    mesh.scheduler.apps |= {"late": app_document()}
    mesh.scheduler.version += 1  # nobody is told
    assert (await mesh.call("POST", CALL, headers=ALICE))[0] == 503
    mesh.scheduler.apps |= {"late": app_document(mesh.component.port)}
    mesh.scheduler.version += 1
    assert (await mesh.call("POST", CALL, headers=ALICE))[0] == 200


async def test_many_calls_that_find_nothing_are_few_looks(mesh: Mesh) -> None:
    requests_before = len(mesh.scheduler.requests)
    answers = await asyncio.gather(*(mesh.call("POST", f"/none-{n}/x/predict") for n in range(100)))
    assert {status for status, _, _ in answers} == {404}
    assert len(mesh.scheduler.requests) - requests_before < 20


async def test_a_gateway_without_a_table_asks_for_all_of_it_once(mesh: Mesh) -> None:
    targets = [request.target for request in mesh.scheduler.requests if "/internal/table" in request.target]
    assert targets[0] == "/internal/table?since=-1&wait=0"
    assert not any("since=-1" in target for target in targets[1:])
