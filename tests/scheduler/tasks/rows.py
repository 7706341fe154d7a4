"""A run of three stages, of which one waits for another, and its tasks."""

from __future__ import annotations

from typing import Any

from libs.common.locations import Location
from services.scheduler.model.run import Run
from services.scheduler.model.run_plan import RetryPolicy, RunPlan, StagePlan
from services.scheduler.model.task import Task

NOW = 100.0


def task(name: str, state: Any, **fields: Any) -> Task:
    return Task(**{"id": name, "kind": "stage", "app": "leaf", "name": name, "state": state,
                   "created_at": 1.0, "token": 1, "worker": "w", **fields})  # fmt: skip


def run(status: Any = "running", *, retries: int = 0, **fields: Any) -> Run:
    policy = RetryPolicy(retries, backoff=10.0, factor=2.0, reasons=("error",))
    plan = RunPlan(
        timeout=50.0,
        stages=(StagePlan(name="a", retries=policy, timeout=1.0, outputs=("made", "kept")),),
        waits={"a": (), "b": ("a",), "c": ()},
        targets={"made": Location(box="data", user="u", group="weights")},
    )
    return Run(id="r", app="leaf", pipeline="p", user="u", status=status, created_at=1.0, plan=plan, **fields)
