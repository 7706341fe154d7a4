"""Runs that continue one another: what comes after one has ended, and what it is handed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.locations import Location
from services.scheduler.model.reason import Reason
from services.scheduler.model.run import Run
from services.scheduler.model.task import Task
from services.scheduler.plans import planner
from services.scheduler.tasks import transitions


@dataclass(frozen=True)
class Next:
    """What to do with a chain. Nothing of it: one of its runs is still at work."""

    run: transitions.ColumnUpdates | None = None
    """New columns of the run that it began with: the chain has ended."""
    start: int | None = None
    """The place at which a run begins."""
    cancel: str | None = None
    """The run that must end before the chain can."""


def follow(first: Run, own: Sequence[Task], rest: Sequence[Run], now: float) -> Next:
    """`own` are the stages of the run that the chain began with, `rest` the runs after it, in order."""
    last = rest[-1] if rest else None
    if last is None and any(task.state != "succeeded" for task in own):
        return Next()
    if last is not None and not last.is_final:
        wanted = first.status == "canceling" and last.status != "canceling"
        return Next(cancel=last.id if wanted else None)
    if first.status == "canceling":
        return Next(run=transitions.canceled_run(first, now))
    if last is not None and last.status != "succeeded":
        return Next(run={"status": last.status, "reason": _of(last), "finished_at": now})
    if len(rest) < len(first.plan["then"]):
        return Next(start=len(rest) + 1)
    return Next(run={"status": "succeeded", "reason": None, "finished_at": now})


def _of(last: Run) -> Reason:
    return {**(last.reason or {}), "run": last.id, "pipeline": last.pipeline}


def successor(first: Run, before: Run, stages: Sequence[Task], position: int, identity: str) -> Run:
    """The draft of the run at this place, handed what the one before it had and made."""
    following = first.plan["then"][position - 1]
    found = {theirs: _value(before, stages, ours) for theirs, ours in following["given"].items()}
    handed = {name: value for name, value in found.items() if value is not None}
    return Run(
        id=identity,
        app=first.app,
        pipeline=following["pipeline"],
        user=first.user,
        status="queued",
        plan={**following, "sources": {**following["sources"], **handed}},
        inputs={name: value["value"] if "value" in value else str(Location(**value)) for name, value in handed.items()},
        outputs={name: text for name, text in first.outputs.items() if name in following["targets"]},
        labels=first.labels,
        priority=first.priority,
        chain=first.id,
        position=position,
        created_at=0.0,
    )


def _value(run: Run, stages: Sequence[Task], variable: str) -> Mapping[str, Any] | None:
    """Where a variable of a run that has succeeded is; None when it was not given."""
    writer = planner.producing_stages(run).get(variable)
    if writer is None:
        given: Mapping[str, Any] | None = run.plan["sources"].get(variable)
        return given
    task = next(task for task in stages if task.name == writer)
    return planner.find_output_location(run, task, variable).to_json()
