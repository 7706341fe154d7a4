"""Publications: each takes its own time, and none is forgotten."""

from __future__ import annotations

import time

import pytest

from libs.common.db import Database
from services.scheduler.db import due_work, tasks
from services.scheduler.tasks.output_publisher import RetryDelay
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
        assert not (await due_work.find_due_work(c, time.time())).publications
    await at_work(mesh, "large")
    async with other.read() as c:
        assert (await due_work.find_due_work(c, time.time())).publications
        assert len(await tasks.list_by_state(c, "stage", "publishing")) == 1
    await other.close()
    mesh.neighbours.held.clear()


REFUSALS = [
    (409, {"detail": "data/small/m cannot be stored", "file": "data/small/m", "in_the_way": "data/small/m/x"}),
    (422, {"detail": "location data/small/: a name may not hold a slash"}),
    (404, {"detail": "leaf has no box data"}),
    (403, {"detail": "a caller without credentials has no files"}),
    (400, {"detail": "the path is not UTF-8"}),
    (410, {"detail": "gone"}),
]


async def test_one_that_cannot_be_done_ends_the_run_and_says_why(mesh: Mesh) -> None:
    await go_live(mesh)
    for status, body in REFUSALS:
        mesh.neighbours.refusal = (status, body)
        run = await at_work(mesh, "small")
        await mesh.until(lambda run=run: mesh.status(run, "failed"))  # type: ignore[misc]
        seen = await mesh.run(run)
        assert seen["reason"] == {"code": "output", "stage": "train", "log_tail": [], **body}
        assert (await mesh.call("POST", f"/internal/apps/leaf/runs/{run}/retry"))[0] == 202
        assert (await mesh.call("POST", f"/internal/apps/leaf/runs/{run}/cancel"))[0] == 202
        await mesh.until(lambda run=run: mesh.status(run, "canceled"))  # type: ignore[misc]
    assert mesh.neighbours.tried == len(REFUSALS), "once each"


async def test_what_it_does_is_shown_and_that_it_is_tried_again(mesh: Mesh) -> None:
    await go_live(mesh)
    mesh.neighbours.held.add("large")
    slow = await at_work(mesh, "large")
    await mesh.until(lambda: tried(mesh, 1))
    stage = (await mesh.run(slow))["stages"][1]
    assert (stage["phase"], stage["detail"], stage["reason"]) == ("publishing", "publishing model to data/large/", None)
    mesh.neighbours.refusal = (503, {"detail": "the store is away"})
    run = await at_work(mesh, "small")

    async def again() -> bool:
        detail = (await mesh.run(run))["stages"][1]["detail"] or ""
        return detail == "publishing model to data/small/: the store is away; retrying in 2 s"

    await mesh.until(again)
    assert mesh.neighbours.tried == 3, "one is held, the other was tried twice"
    mesh.neighbours.held.clear()


@pytest.mark.parametrize("failures", range(1, 12))
def test_pauses_grow_and_have_a_longest(failures: int) -> None:
    rest = None
    for _ in range(failures):
        rest = RetryDelay.next_delay(rest, 100.0)
    assert rest == RetryDelay(failures, 100.0 + min(60.0, 2.0 ** (failures - 1)))


async def test_one_that_is_under_way_is_withdrawn_when_its_run_is_canceled(mesh: Mesh) -> None:
    await go_live(mesh)
    mesh.neighbours.held.add("large")
    run = await at_work(mesh, "large")
    await mesh.until(lambda: tried(mesh, 1))
    await mesh.call("POST", f"/internal/apps/leaf/runs/{run}/cancel")
    await mesh.until(lambda: mesh.status(run, "canceled"))
    mesh.neighbours.held.clear()
    assert [path.rpartition("/")[0] for path, _ in mesh.neighbours.removed] == ["/internal/apps/leaf/publications"]
    assert [stage["status"] for stage in (await mesh.run(run))["stages"]] == ["succeeded", "canceled"]


async def tried(mesh: Mesh, times: int) -> bool:
    return mesh.neighbours.tried >= times
