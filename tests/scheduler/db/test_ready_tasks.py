"""The order of the ready queue, and the reasons of pending stages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.common.db import Database
from services.scheduler.model.reason import Reason
from services.scheduler.model.task import Task
from services.scheduler.model.worker import Worker
from services.scheduler.runs.pending_reason import NO_SNAPSHOT, QueueSnapshot
from tests.scheduler.conftest import ALICE, DEADLINE_S, Mesh, healthy_status
from tests.scheduler.scenarios.test_runs import BODY, go_live


def waiting(run: str = "r_1", kind: str = "cpu", **fields: Any) -> Task:
    return Task(id="t", kind="stage", app="a", name="s", state="ready", created_at=0.0, run=run,
                resource_class=kind, **fields)  # fmt: skip


def worker(*classes: str, draining: bool = False, engine: str | None = None) -> Worker:
    return Worker(name="w", host="h", classes=list(classes), slots=1, free=0, labels={}, draining=draining, seen_at=0.0,
                  engine=engine)  # fmt: skip


READY_STAGES = [("r_0", "cpu"), ("r_0", "cpu"), ("r_g", "gpu"), ("r_1", "cpu"), ("r_2", "cpu")]


@pytest.mark.parametrize(
    ("queue", "task", "code", "detail"),
    [
        (NO_SNAPSHOT, waiting(), "starting", ""),
        (QueueSnapshot(READY_STAGES, []), waiting(), "no_worker_for", "cpu"),
        (QueueSnapshot(READY_STAGES, [worker("cpu")]), waiting(kind="gpu"), "no_worker_for", "gpu"),
        (
            QueueSnapshot(READY_STAGES, [worker("cpu", draining=True)]),
            waiting(),
            "paused",
            "every worker of class cpu is draining",
        ),
        (QueueSnapshot(READY_STAGES, [worker("cpu")]), waiting(), "runs_ahead", "1"),
        (QueueSnapshot(READY_STAGES, [worker("cpu")]), waiting("r_2"), "runs_ahead", "2"),
        (
            QueueSnapshot(READY_STAGES, [worker("cpu")]),
            waiting("r_0"),
            "workers_busy",
            "waits for a free slot of class cpu",
        ),
        (QueueSnapshot(READY_STAGES, [worker("cpu")]), waiting(reason=Reason("lost", "w")), "lost", "w"),
        (
            QueueSnapshot(READY_STAGES, [worker("cpu")], {"sha256:1": frozenset({"e"})}),
            waiting(image="sha256:1"),
            "no_worker_for",
            "its image, which only the engine that built it has",
        ),
        (
            QueueSnapshot(
                READY_STAGES,
                [worker("cpu", draining=True, engine="e"), worker("cpu", engine="f")],
                {"sha256:1": frozenset({"e"})},
            ),
            waiting(image="sha256:1"),
            "paused",
            "every worker that has its image is draining",
        ),
        (QueueSnapshot(READY_STAGES, [worker("cpu")], {}), waiting(image="sha256:1"), "runs_ahead", "1"),
    ],
)
def test_who_waits_is_told_why(queue: QueueSnapshot, task: Task, code: str, detail: str) -> None:
    assert queue.pending_reason(task) == Reason(code, detail)


async def two_apps(mesh: Mesh) -> None:
    await go_live(mesh)
    await mesh.deploy("d2", app="oak")
    lease = await mesh.claim(free=0)
    await mesh.send_heartbeat(healthy_status(lease))
    await mesh.until_live("d2")


async def submit_run(mesh: Mesh, app: str, **fields: Any) -> str:
    path = f"/internal/apps/{app}/apis/train/runs"
    status, run, _ = await mesh.call("POST", path, {**BODY, **fields}, ALICE)
    assert status == 202
    return str(run["id"])


async def claim_runs(mesh: Mesh, count: int) -> list[str]:
    """The runs of the next claims."""
    return [(await mesh.claim(kind="stage"))["spec"]["run"] for _ in range(count)]


async def wait_until_dispatched(database_url: str) -> None:
    """A claim skips a row that is locked while it is marked as dispatched."""
    undispatched = "SELECT count(*) = 0 FROM scheduler_tasks WHERE state = 'ready' AND dispatched_at IS NULL"
    await wait_until_true(database_url, undispatched)


async def wait_until_ready(database_url: str, kind: str) -> None:
    await wait_until_true(
        database_url,
        f"SELECT count(*) > 0 FROM scheduler_tasks WHERE state = 'ready' AND kind = '{kind}'",  # noqa: S608
    )


async def wait_until_true(database_url: str, query: str) -> None:
    database = Database(database_url)
    async with asyncio.timeout(DEADLINE_S), database.read() as conn:
        while not (await conn.exec_driver_sql(query)).scalar_one():  # noqa: ASYNC110  the scheduler changes it
            await asyncio.sleep(0.02)
    await database.close()


async def test_the_app_that_is_served_least_comes_first_and_priority_before_that(mesh: Mesh, database_url: str) -> None:
    await two_apps(mesh)
    first, second, third = [await submit_run(mesh, "leaf") for _ in range(3)]
    other = await submit_run(mesh, "oak")
    urgent = await submit_run(mesh, "leaf", priority=5)
    await wait_until_dispatched(database_url)
    assert await claim_runs(mesh, 5) == [urgent, other, first, second, third]


async def test_who_waits_sees_how_many_are_before(mesh: Mesh) -> None:
    await go_live(mesh)
    await mesh.send_heartbeat()
    first = await submit_run(mesh, "leaf")
    second = await submit_run(mesh, "leaf")
    assert (await mesh.get_run(first))["reason"]["code"] == "workers_busy"
    assert (await mesh.get_run(second))["reason"] == {"code": "runs_ahead", "detail": "1"}
    lease = await mesh.claim(kind="stage")
    await mesh.send_heartbeat(
        {"task": lease["task"], "token": lease["token"], "state": "pulling", "detail": "3 of 7 layers"}
    )
    assert (await mesh.get_run(first))["stages"][0]["reason"] == {"code": "image_pull", "detail": "3 of 7 layers"}
    assert (await mesh.get_run(second))["reason"]["code"] == "workers_busy"


@pytest.mark.settings(app_stages=1)
async def test_an_app_has_so_many_stages_at_work_and_no_more(mesh: Mesh, database_url: str) -> None:
    await two_apps(mesh)
    first, second = [await submit_run(mesh, "leaf") for _ in range(2)]
    other = await submit_run(mesh, "oak")
    await wait_until_dispatched(database_url)
    assert await claim_runs(mesh, 2) == [first, other]
    body = {"worker": "w1", "classes": ["cpu"], "free": 2}
    assert (await mesh.peer.post("/internal/claims", body))["lease"] is None
    await mesh.call("POST", f"/internal/apps/leaf/runs/{first}/cancel")
    assert (await mesh.get_run(second))["status"] == "queued"


async def ask_for_work(mesh: Mesh, free: int) -> tuple[str, bool]:
    """The kind of the next lease, and whether the worker is to ask again."""
    answer = await mesh.peer.post("/internal/claims", {"worker": "w1", "classes": ["cpu"], "free": free})
    return answer["lease"]["kind"], answer["more"]


async def test_a_worker_asks_again_while_it_can_take_more(mesh: Mesh, database_url: str) -> None:
    await go_live(mesh)
    for _ in range(3):
        await submit_run(mesh, "leaf")
    await wait_until_dispatched(database_url)
    assert [await ask_for_work(mesh, free) for free in (2, 1, 1)] == [
        ("stage", True),
        ("stage", False),
        ("stage", False),
    ]


async def test_a_worker_without_slots_asks_again_for_an_instance_behind_stages(mesh: Mesh, database_url: str) -> None:
    await go_live(mesh)
    for _ in range(2):
        await submit_run(mesh, "leaf")
    await mesh.deploy("d2", app="oak")
    await wait_until_ready(database_url, "instance")
    await wait_until_dispatched(database_url)
    assert [await ask_for_work(mesh, free) for free in (1, 0)] == [("stage", True), ("instance", False)]
