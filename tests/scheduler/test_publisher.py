"""Publications: each takes its own time, and none is forgotten."""

from __future__ import annotations

import time

from libs.common.db import Database
from services.scheduler.db import due, tasks
from tests.scheduler.conftest import Mesh
from tests.scheduler.test_service import BODY, go_live


async def at_work(mesh: Mesh, place: str, *, away: bool = False) -> str:
    """A run whose last stage has succeeded; its outputs go to `place`, once databox is not `away`."""
    run: str = (await mesh.submit({**BODY, "outputs": {"model": place}}))[1]["id"]
    mesh.neighbours.away = away
    for _ in range(2):
        await mesh.report(await mesh.claim(kind="stage"), "succeeded")
    return run


async def test_one_that_takes_long_holds_up_no_other(mesh: Mesh) -> None:
    await go_live(mesh)
    mesh.neighbours.held.add("large")
    slow, quick = await at_work(mesh, "large"), await at_work(mesh, "small")
    await mesh.until(lambda: mesh.status(quick, "succeeded"))
    assert (await mesh.run(slow))["status"] == "running"
    mesh.neighbours.held.clear()
    await mesh.until(lambda: mesh.status(slow, "succeeded"))
    assert len({name for name, _ in mesh.neighbours.publications}) == len(mesh.neighbours.publications), "once each"


async def test_one_that_fails_is_repeated(mesh: Mesh) -> None:
    await go_live(mesh)
    run = await at_work(mesh, "small", away=True)
    assert (await mesh.run(run))["status"] == "running"
    mesh.neighbours.away = False
    await mesh.until(lambda: mesh.status(run, "succeeded"))


async def test_one_that_another_scheduler_was_told_of_is_due(mesh: Mesh, database_url: str) -> None:
    await go_live(mesh)
    mesh.neighbours.held.add("large")
    other = Database(database_url)
    async with other.read() as c:
        assert not (await due.due(c, time.time())).publishing
    await at_work(mesh, "large")
    async with other.read() as c:
        assert (await due.due(c, time.time())).publishing
        assert len(await tasks.in_state(c, "stage", "publishing")) == 1
    await other.close()
    mesh.neighbours.held.clear()
