"""The output publisher: publications run concurrently, and failed ones are retried."""

from __future__ import annotations

import time

import pytest

from libs.common.db import Database
from services.scheduler.db import due_conditions, tasks
from services.scheduler.tasks.output_publisher import RetryDelay
from tests.scheduler.conftest import Mesh
from tests.scheduler.scenarios.test_runs import BODY, go_live


async def start_publication(mesh: Mesh, group: str, *, away: bool = False) -> str:
    """A run whose last stage has succeeded and whose outputs are published to `group`; `away`: databox fails."""
    run: str = (await mesh.submit({**BODY, "outputs": {"model": group}}))[1]["id"]
    mesh.services.is_away = away
    for _ in range(2):
        await mesh.report(await mesh.claim(kind="stage"), "succeeded")
    return run


async def test_one_that_takes_long_holds_up_no_other(mesh: Mesh) -> None:
    await go_live(mesh)
    mesh.services.held_groups.add("large")
    slow, quick = await start_publication(mesh, "large"), await start_publication(mesh, "small")
    await mesh.until(lambda: mesh.has_status(quick, "succeeded"))
    assert (await mesh.get_run(slow))["status"] == "running"
    mesh.services.held_groups.clear()
    await mesh.until(lambda: mesh.has_status(slow, "succeeded"))
    assert len({name for name, _ in mesh.services.publications}) == len(mesh.services.publications), "once each"


async def test_one_that_fails_is_repeated(mesh: Mesh) -> None:
    await go_live(mesh)
    run = await start_publication(mesh, "small", away=True)
    assert (await mesh.get_run(run))["status"] == "running"
    mesh.services.is_away = False
    await mesh.until(lambda: mesh.has_status(run, "succeeded"))


async def test_one_that_another_scheduler_was_told_of_is_due(mesh: Mesh, database_url: str) -> None:
    await go_live(mesh)
    mesh.services.held_groups.add("large")
    other = Database(database_url)
    async with other.read() as conn:
        assert not (await due_conditions.find_due_work(conn, time.time())).publications
    await start_publication(mesh, "large")
    async with other.read() as conn:
        assert (await due_conditions.find_due_work(conn, time.time())).publications
        assert len(await tasks.list_by_state(conn, "stage", "publishing")) == 1
    await other.close()
    mesh.services.held_groups.clear()


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
        mesh.services.publication_error = (status, body)
        run = await start_publication(mesh, "small")
        await mesh.until(lambda run=run: mesh.has_status(run, "failed"))  # type: ignore[misc]
        seen = await mesh.get_run(run)
        assert seen["reason"] == {"code": "output", "stage": "train", "log_tail": [], **body}
        assert (await mesh.call("POST", f"/internal/apps/leaf/runs/{run}/retry"))[0] == 202
        assert (await mesh.call("POST", f"/internal/apps/leaf/runs/{run}/cancel"))[0] == 202
        await mesh.until(lambda run=run: mesh.has_status(run, "canceled"))  # type: ignore[misc]
    assert mesh.services.publication_attempts == len(REFUSALS), "once each"


async def test_what_it_does_is_shown_and_that_it_is_tried_again(mesh: Mesh) -> None:
    await go_live(mesh)
    mesh.services.held_groups.add("large")
    slow = await start_publication(mesh, "large")
    await mesh.until(lambda: has_attempts(mesh, 1))
    stage = (await mesh.get_run(slow))["stages"][1]
    assert (stage["phase"], stage["detail"], stage["reason"]) == ("publishing", "publishing model to data/large/", None)
    mesh.services.publication_error = (503, {"detail": "the store is away"})
    run = await start_publication(mesh, "small")

    async def is_retrying() -> bool:
        detail = (await mesh.get_run(run))["stages"][1]["detail"] or ""
        return detail == "publishing model to data/small/: the store is away; retrying in 2 s"

    await mesh.until(is_retrying)
    assert mesh.services.publication_attempts == 3, "one is held, the other was tried twice"
    mesh.services.held_groups.clear()


@pytest.mark.parametrize("failures", range(1, 12))
def test_pauses_grow_and_have_a_longest(failures: int) -> None:
    delay = None
    for _ in range(failures):
        delay = RetryDelay.next_delay(delay, 100.0)
    assert delay == RetryDelay(failures, 100.0 + min(60.0, 2.0 ** (failures - 1)))


async def test_one_that_is_under_way_is_withdrawn_when_its_run_is_canceled(mesh: Mesh) -> None:
    await go_live(mesh)
    mesh.services.held_groups.add("large")
    run = await start_publication(mesh, "large")
    await mesh.until(lambda: has_attempts(mesh, 1))
    await mesh.call("POST", f"/internal/apps/leaf/runs/{run}/cancel")
    await mesh.until(lambda: mesh.has_status(run, "canceled"))
    mesh.services.held_groups.clear()
    assert [path.rpartition("/")[0] for path, _ in mesh.services.removals] == ["/internal/apps/leaf/publications"]
    assert [stage["status"] for stage in (await mesh.get_run(run))["stages"]] == ["succeeded", "canceled"]


async def has_attempts(mesh: Mesh, times: int) -> bool:
    return mesh.services.publication_attempts >= times
