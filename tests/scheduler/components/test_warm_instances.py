from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.scheduler.components.desired_instances import DesiredInstance, desired_instances
from services.scheduler.components.warm_instances import is_warm, may_stay_warm, select_reusable, select_unneeded
from services.scheduler.model.task import Task
from services.scheduler.model.worker import Worker
from tests.scheduler.manifests import catalog

NOW = 100.0
ECHO, OTHER = (
    next(one for one in desired_instances(catalog(), commit, {}, {}) if one.name == "echo") for commit in ("c1", "c2")
)


def make_task(instance: DesiredInstance = ECHO, **fields: Any) -> Task:
    values = {"worker": "w1", "state": "claimed", "phase": "healthy", "stop_requested": True, "stop_at": NOW + 300}
    key = {"name": instance.name, "replica": instance.replica, "fingerprint": instance.fingerprint}
    return Task(**{"id": "i_1", "kind": "instance", "app": "leaf", "created_at": 1.0, **values, **key, **fields})


WARM = make_task()


@pytest.mark.parametrize(
    ("fields", "warm"),
    [
        ({}, True),
        ({"stop_at": NOW + 1}, False),
        ({"stop_at": None}, False),
        ({"stop_requested": False}, False),
        ({"phase": "unhealthy"}, False),
        ({"state": "stopped"}, False),
    ],
)
def test_warm_is_what_serves_and_is_to_stop_later(fields: dict[str, Any], warm: bool) -> None:
    assert is_warm(make_task(**fields), NOW) is warm


@pytest.mark.parametrize(
    ("task", "stays"),
    [
        (make_task(stop_requested=False), True),
        (make_task(stop_requested=False, resource_class="gpu"), False),
        (make_task(stop_requested=False, phase="starting"), False),
        (make_task(OTHER, stop_requested=False), False),
    ],
    ids=["healthy", "on a GPU", "not ready", "of another deployment"],
)
def test_only_healthy_instances_of_what_is_replaced_stay_warm(task: Task, stays: bool) -> None:
    assert may_stay_warm(task, [ECHO]) is stays


def test_of_equal_ones_one_is_used_again_and_none_beside_a_running_one() -> None:
    twin, running = replace(WARM, id="i_2"), replace(WARM, id="i_3", stop_requested=False, stop_at=None)
    assert [task.id for task in select_reusable([ECHO], [WARM, twin], NOW)] == ["i_2"]
    assert select_reusable([ECHO], [WARM, running], NOW) == []
    assert select_reusable([OTHER], [WARM], NOW) == []


def make_worker(*, draining: bool) -> Worker:
    return Worker(name="w1", host="h", classes=["cpu"], slots=1, free=1, labels={}, draining=draining, seen_at=NOW)


@pytest.mark.parametrize(
    ("rollout", "draining", "unneeded"),
    [(None, False, []), ([ECHO], False, []), ([OTHER], False, [WARM]), ([], False, [WARM]), (None, True, [WARM])],
)
def test_a_rollout_of_others_and_a_drain_end_it(
    rollout: list[DesiredInstance] | None, draining: bool, unneeded: list[Task]
) -> None:
    assert select_unneeded([WARM], [make_worker(draining=draining)], NOW, rollout=rollout) == unneeded
