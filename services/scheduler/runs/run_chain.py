"""Chains of runs: what follows when a run of the chain has ended, and which inputs it inherits. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.scheduler.model.reason import Reason
from services.scheduler.model.run import Run
from services.scheduler.model.run_plan import InputSource, InputValue
from services.scheduler.model.task import Task
from services.scheduler.plans import planner
from services.scheduler.tasks import run_transitions
from services.scheduler.tasks.transitions import ColumnUpdates


@dataclass(frozen=True)
class ChainStep:
    """The next action of a chain; all fields None while one of its runs is active."""

    final_columns: ColumnUpdates | None = None
    """Final columns of the first run: the chain has ended."""
    start_position: int | None = None
    """Position of the run to start."""
    cancel_run: str | None = None
    """Id of the run to cancel, before the chain can end."""


def next_chain_step(first: Run, first_stages: Sequence[Task], successors: Sequence[Run], now: float) -> ChainStep:
    """`first_stages`: the stages of the first run; `successors`: the later runs, in order."""
    last = successors[-1] if successors else None
    if last is None and any(task.state != "succeeded" for task in first_stages):
        return ChainStep()
    if last is not None and not last.is_final:
        must_cancel = first.status == "canceling" and last.status != "canceling"
        return ChainStep(cancel_run=last.id if must_cancel else None)
    if first.status == "canceling":
        return ChainStep(final_columns=run_transitions.canceled_run(first, now))
    if last is not None and last.status != "succeeded":
        return ChainStep(final_columns={"status": last.status, "reason": _failure_reason(last), "finished_at": now})
    if len(successors) < len(first.plan.then):
        return ChainStep(start_position=len(successors) + 1)
    return ChainStep(final_columns={"status": "succeeded", "reason": None, "finished_at": now})


def _failure_reason(last: Run) -> Reason:
    return (last.reason or Reason(last.status)).with_details(run=last.id, pipeline=last.pipeline)


def build_successor(first: Run, previous: Run, stages: Sequence[Task], position: int, new_id: str) -> Run:
    """The run at `position`, with the inputs that it inherits from the previous run."""
    plan = first.plan.then[position - 1]
    values = {target: _variable_source(previous, stages, source) for target, source in plan.inherited.items()}
    handed = {name: value for name, value in values.items() if value is not None}
    return Run(
        id=new_id,
        app=first.app,
        pipeline=plan.pipeline,
        user=first.user,
        status="queued",
        plan=replace(plan, sources={**plan.sources, **handed}),
        inputs={
            name: source.value if isinstance(source, InputValue) else str(source) for name, source in handed.items()
        },
        outputs={name: text for name, text in first.outputs.items() if name in plan.targets},
        labels=first.labels,
        priority=first.priority,
        chain=first.id,
        position=position,
        created_at=0.0,
    )


def _variable_source(run: Run, stages: Sequence[Task], variable: str) -> InputSource | None:
    """Location or value of a variable of a succeeded run; None if the caller did not set it."""
    producer = run.plan.producers.get(variable)
    if producer is None:
        return run.plan.sources.get(variable)
    task = next(task for task in stages if task.name == producer)
    return planner.find_output_location(run, task, variable)
