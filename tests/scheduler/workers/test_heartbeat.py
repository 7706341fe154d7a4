"""Orders of a worker: what stops now, and when the next stop is due."""

from __future__ import annotations

import pytest

from libs.common.protocol.heartbeat import TaskRef
from services.scheduler.model.task import Task
from services.scheduler.workers.heartbeat import WorkerOrders, build_orders

NOW = 100.0


def make_task(name: str, stop_at: float | None, *, stop_requested: bool = True) -> Task:
    return Task(
        id=name, kind="instance", app="leaf", name="echo", state="claimed", created_at=1.0, token=1,
        stop_requested=stop_requested, stop_at=stop_at,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tasks", "stopped", "next_stop_in"),
    [
        ([], [], None),
        ([make_task("a", None, stop_requested=False)], [], None),
        ([make_task("a", None)], ["a"], None),
        ([make_task("a", NOW)], ["a"], None),
        ([make_task("a", NOW + 300), make_task("b", NOW + 3), make_task("c", NOW - 1)], ["c"], 3.0),
    ],
)
def test_a_stop_is_ordered_when_it_is_due(tasks: list[Task], stopped: list[str], next_stop_in: float | None) -> None:
    refs = tuple(TaskRef(task=name, token=1) for name in stopped)
    assert build_orders(tasks, NOW, draining=False) == WorkerOrders(refs, False, next_stop_in)
