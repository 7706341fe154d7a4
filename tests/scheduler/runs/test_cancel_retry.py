"""Every state of a run and its stages can be left: by a cancel, by the run's timeout, by deletion after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from libs.common.db import Database
from services.scheduler.db import runs
from tests.scheduler.conftest import SHORT_LEASE_S, Mesh
from tests.scheduler.scenarios.test_runs import BODY, go_live
from tests.scheduler.tasks.test_output_publisher import has_attempts, start_publication

Reach = Callable[[Mesh], Awaitable[str]]


async def queued_run(mesh: Mesh) -> str:
    return str((await mesh.submit(BODY))[1]["id"])


async def claimed_run(mesh: Mesh) -> str:
    run = await queued_run(mesh)
    await mesh.claim(kind="stage", worker="silent")
    return run


async def run_between_stages(mesh: Mesh) -> str:
    """The first stage has succeeded, the second is ready."""
    run = await queued_run(mesh)
    await mesh.report(await mesh.claim(kind="stage"), "succeeded")
    return run


async def lost_run(mesh: Mesh) -> str:
    """Its worker handed it back."""
    run = await queued_run(mesh)
    await mesh.report(await mesh.claim(kind="stage"), "returned")
    return run


async def publishing_run(mesh: Mesh) -> str:
    mesh.services.held_groups.add("held")
    publications_before = mesh.services.publication_attempts
    run = await start_publication(mesh, "held")
    await mesh.until(lambda: has_attempts(mesh, publications_before + 1))
    return run


async def failing_run(mesh: Mesh) -> str:
    """Publishing, again and again."""
    mesh.services.publication_error = (503, {"detail": "the store is away"})
    publications_before = mesh.services.publication_attempts
    run = await start_publication(mesh, "small")
    await mesh.until(lambda: has_attempts(mesh, publications_before + 1))
    return run


async def unpublishable_run(mesh: Mesh) -> str:
    """Publishing, while databox is away altogether."""
    return await start_publication(mesh, "small", away=True)


async def succeeded_run(mesh: Mesh) -> str:
    run = await start_publication(mesh, "good")
    await mesh.until(lambda: mesh.has_status(run, "succeeded"))
    return run


async def failed_run(mesh: Mesh) -> str:
    run = await queued_run(mesh)
    await mesh.report(await mesh.claim(kind="stage"), "failed")
    return run


OPEN: dict[str, Reach] = {
    one.__name__: one
    for one in (queued_run, claimed_run, run_between_stages, lost_run, publishing_run, failing_run, unpublishable_run)
}
"""Those whose run has not ended."""


async def cancel_run(mesh: Mesh, _url: str, run: str) -> str:
    assert (await mesh.call("POST", f"/internal/apps/leaf/runs/{run}/cancel"))[0] == 202
    return "canceled"


async def make_overdue(_mesh: Mesh, url: str, run: str) -> str:
    database = Database(url)
    async with database.write() as conn:
        stored = await runs.get(conn, "leaf", run)
        assert stored is not None
        await runs.update_run(conn, stored, {"deadline": 1.0})
    await database.close()
    return "failed" if stored.started_at else "expired"


@pytest.mark.settings(lease=SHORT_LEASE_S)
@pytest.mark.parametrize("end", [cancel_run, make_overdue], ids=lambda one: one.__name__)
@pytest.mark.parametrize("reach", OPEN.values(), ids=OPEN)
async def test_a_run_ends_from_every_state_and_can_be_retried_or_deleted(
    mesh: Mesh, database_url: str, reach: Reach, end: Callable[[Mesh, str, str], Awaitable[str]]
) -> None:
    await go_live(mesh)
    run = await reach(mesh)
    address = f"/internal/apps/leaf/runs/{run}"
    assert (await mesh.call("DELETE", address))[0] == 409, "it has not ended"
    assert (await mesh.call("POST", f"{address}/retry"))[0] == 409
    status = await end(mesh, database_url, run)
    await mesh.until(lambda: mesh.has_status(run, status))
    assert all(one["status"] in ("succeeded", "canceled") for one in (await mesh.get_run(run))["stages"])
    if status == "failed":
        assert (await mesh.get_run(run))["reason"]["code"] == "timeout"
    mesh.services.is_away, mesh.services.publication_error = False, None
    mesh.services.held_groups.clear()
    assert (await mesh.call("POST", f"{address}/retry"))[0] == 202
    await mesh.call("POST", f"{address}/cancel")
    await mesh.until(lambda: mesh.has_status(run, "canceled"))
    assert (await mesh.call("DELETE", address))[0] == 204
    assert (await mesh.call("GET", address))[0] == 410


@pytest.mark.parametrize(("reach", "again"), [(succeeded_run, 409), (failed_run, 202)], ids=["succeeded", "failed"])
async def test_one_that_has_ended_is_not_canceled_and_can_be_deleted(mesh: Mesh, reach: Reach, again: int) -> None:
    await go_live(mesh)
    run = await reach(mesh)
    address = f"/internal/apps/leaf/runs/{run}"
    assert (await mesh.call("POST", f"{address}/cancel"))[0] == 409
    assert (await mesh.call("POST", f"{address}/retry"))[0] == again
    if again == 202:
        await mesh.call("POST", f"{address}/cancel")
        await mesh.until(lambda: mesh.has_status(run, "canceled"))
    assert (await mesh.call("DELETE", address))[0] == 204
