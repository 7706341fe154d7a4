"""The table, followed: nothing is refused for news that are on their way."""

from __future__ import annotations

import asyncio

from tests.gateway.mesh import ALICE, Mesh, document

CALL = "/late/digits/predict"


async def test_what_the_table_lacks_is_looked_for_before_it_is_refused(mesh: Mesh) -> None:
    assert (await mesh.call("POST", CALL, headers=ALICE))[0] == 404
    mesh.scheduler.apps |= {"late": document()}
    mesh.scheduler.version += 1  # nobody is told
    assert (await mesh.call("POST", CALL, headers=ALICE))[0] == 503
    mesh.scheduler.apps |= {"late": document(mesh.component.port)}
    mesh.scheduler.version += 1
    assert (await mesh.call("POST", CALL, headers=ALICE))[0] == 200


async def test_many_calls_that_find_nothing_are_few_looks(mesh: Mesh) -> None:
    before = len(mesh.scheduler.asked)
    answers = await asyncio.gather(*(mesh.call("POST", f"/none-{n}/x/predict") for n in range(100)))
    assert {status for status, _, _ in answers} == {404}
    assert len(mesh.scheduler.asked) - before < 20


async def test_a_gateway_without_a_table_asks_for_all_of_it_once(mesh: Mesh) -> None:
    asked = [one.target for one in mesh.scheduler.asked if "/internal/table" in one.target]
    assert asked[0] == "/internal/table?since=-1&wait=0"
    assert not any("since=-1" in target for target in asked[1:])
