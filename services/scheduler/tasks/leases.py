"""Leases: a worker claims a task, keeps it by being heard (heartbeat), and gives it back with a report.

Lock order everywhere: the run, then tasks by id. Who changes what a stage is holds its run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from libs.common import log
from libs.common.db import clock
from libs.common.errors import Conflict
from libs.common.http.tolerant_list import Each, Keepable
from libs.common.periodic_task import for_each
from services.scheduler import notifications
from services.scheduler.db import Connection, runs, stage_cache, tasks
from services.scheduler.dependencies import Parts
from services.scheduler.model.state import ENDED_BADLY, Doorbell, Run, Task, TaskState
from services.scheduler.plans import planner
from services.scheduler.tasks import transitions


@dataclass(frozen=True)
class Settled:
    """What a change of a stage has led to; who is to hear of it after the commit."""

    rung: tuple[Doorbell, ...] = ()
    """What is ready now."""
    stopped: frozenset[str] = frozenset()
    """Workers that are to stop something."""
    publishes: bool = False
    """Outputs are to be brought to their places, or not any more."""
    ended: Mapping[str, Any] | None = None
    """Which run has ended, and how."""


class Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class LastWord(Wire):
    worker: str
    token: int
    outcome: str = Field(pattern=r"^[a-z_]{1,16}$")
    reason: Keepable | None = None
    outputs: Keepable | None = None
    log_tail: Each[str] = ()
    usage: Keepable | None = None
    progress: tuple[FiniteFloat, FiniteFloat] | None = None
    """The last that it told, which no heartbeat may have brought."""
    answer: Keepable | None = None
    """What the component said, of a prediction."""
    content: str | None = Field(default=None, max_length=64)
    """What the stage was made of, if its outputs are to be kept for others."""


class Made(Wire):
    """What a stage that is about to run is made of."""

    worker: str
    token: int
    content: str = Field(max_length=64)


async def report(parts: Parts, task_id: str, said: LastWord) -> None:
    """Take a worker's last word about a task. Raises Conflict when the lease is over: the result is dropped."""
    word = transitions.Report(
        said.outcome, said.reason, said.outputs, said.log_tail, said.usage, said.answer, said.progress
    )
    async with parts.db.write() as c:
        run, found, now = await locked(c, task_id)
        task = _held(found, said.worker, said.token)
        await tasks.end_attempt(c, task, said.outcome, said.reason, said.usage, now)
        settled = Settled()
        if run is None:
            await tasks.change(c, task.id, transitions.instance_reported(task, word, now))
        else:
            settled = await settle(parts, c, run, task, transitions.stage_reported(run, task, word, now), now)
            if said.content and said.outcome == "succeeded":
                await stage_cache.put(c, task, said.content, said.outputs or {}, now)
    announce(parts, task, run, settled)


def _held(task: Task | None, worker: str, token: int) -> Task:
    """Raises Conflict when the lease is over."""
    if task is None or task.state != "claimed" or (task.token, task.worker) != (token, worker):
        raise Conflict("this lease is over; the result is dropped", code="stale_token")
    return task


async def reuse(parts: Parts, task_id: str, made: Made) -> bool:
    """Let the stage succeed with what an earlier one made of the same. Whether there was one."""
    async with parts.db.write() as c:
        run, found, now = await locked(c, task_id)
        task = _held(found, made.worker, made.token)
        kept = await stage_cache.find(c, task.app, made.content)
        if run is None or kept is None:
            return False
        reused = {name: kept[name] for name in ("run", "user", "stage", "token")}
        await stage_cache.reuse(c, kept["run"], run.id)
        await tasks.end_attempt(c, task, "succeeded", None, None, now)
        columns = transitions.stage_reported(run, task, transitions.Report("succeeded", None, kept["outputs"]), now)
        result = {**columns["result"], "reused": reused}
        settled = await settle(parts, c, run, task, {**columns, "result": result}, now)
    announce(parts, task, run, settled)
    return True


async def locked(c: Connection, task_id: str) -> tuple[Run | None, Task | None, float]:
    """The task and its run, held in the common order, and the time in epoch seconds (0 if there is no such task)."""
    place = await tasks.place(c, task_id)
    if place is None:
        return None, None, 0.0
    app, identity = place
    run = await runs.hold(c, app, identity) if identity else None
    return run, *await tasks.get_at(c, task_id)


async def settle(
    parts: Parts, c: Connection, run: Run, task: Task | None, columns: Mapping[str, Any], now: float
) -> Settled:
    """Write a task's new columns and all that follows from them for its run, which is held."""
    changes: dict[str, Mapping[str, Any]] = {}
    if task is not None:
        if columns.get("state") == "publishing" and not planner.publications(run, replace(task, **columns)):
            columns = {**columns, "state": "succeeded", "finished_at": now}
        changes[task.id] = columns
        task = replace(task, **columns)
    stages, others = await _concerned(c, run, task)
    step = transitions.advance(run, stages, now, others)
    for other, more in step.tasks.items():
        changes[other] = {**changes.get(other, {}), **more}
    known = {one.id: one for one in stages}
    rung = parts.doorbells.take(known[one].doorbell for one in changes if changes[one].get("state") == "ready")
    for one in rung:
        changes[one.task] = {**changes[one.task], "rung_at": now}
    for identity in sorted(changes):
        await tasks.change(c, identity, changes[identity])
    if step.tasks and not step.run:  # what was halted may have been the last that was open
        final = [replace(one, **step.tasks.get(one.id, {})) for one in stages]
        step = transitions.Step(transitions.advance(run, final, now, others).run, {})
    if step.run:
        await runs.change(c, run, step.run)
    stopped = (known[one].worker for one in step.tasks if step.tasks[one].get("stop"))
    return Settled(
        rung,
        frozenset(worker for worker in stopped if worker),
        publishes=any(columns.get("state") == "publishing" for columns in changes.values())
        or any(known[one].state == "publishing" for one in step.tasks),
        ended=_end(run, step.run) if "finished_at" in step.run else None,
    )


def _end(run: Run, columns: Mapping[str, Any]) -> dict[str, Any]:
    why = columns.get("reason") or {}
    more = {"reason": why["code"]} if why.get("code") else {}
    return {
        "app": run.app,
        "pipeline": run.pipeline,
        "run": run.id,
        "status": columns.get("status", run.status),
        **more,
    }


async def _concerned(c: Connection, run: Run, changed: Task | None) -> tuple[list[Task], frozenset[TaskState]]:
    """The stages that a changed one may change, and the states of the rest: of a run of thousands that is little."""
    if changed is not None and len(run.plan["stages"]) == 1:
        return [changed], frozenset()
    if changed is not None and changed.state not in ENDED_BADLY and run.status != "canceling":
        near = transitions.near(run, changed)
        others = await tasks.states(c, run.id, {changed.name, *near})
        if not others & ENDED_BADLY:
            found = await tasks.named(c, run.id, near - {changed.name}) if near - {changed.name} else []
            return [changed, *found], others
    return [changed if changed and changed.id == one.id else one for one in await tasks.of_run(c, run.id)], frozenset()


def announce(parts: Parts, task: Task, run: Run | None, settled: Settled) -> None:
    """Wake whom a changed task may concern; of an instance it is not known what has become of it."""
    if run is None or parts.settings.app_stages is not None:  # with a limit, one that ends makes room
        parts.wakes.relay()
    if run is None:
        parts.wakes.converge(task.app)
        return
    if run.chain:
        parts.wakes.succeed()
    ring(parts, run.id, settled)


def ring(parts: Parts, run: str, settled: Settled) -> None:
    """For those who look at the run, and for workers."""
    parts.doorbells.ring(settled.rung)
    parts.wakes.tell()
    if settled.publishes:
        parts.wakes.publish()
    parts.bells.ring(notifications.run(run))
    if settled.ended:
        parts.bells.ring(notifications.end(run))
        if parts.settings.run_log:
            log.get("scheduler").info("run ended", **settled.ended)
    for worker in settled.stopped:
        parts.bells.ring(notifications.worker(worker))


async def lapse(parts: Parts) -> None:
    """Take tasks back from workers that were silent for a whole lease."""
    async with parts.db.read() as c:
        late = await tasks.lapsed(c, await clock(c))
    await for_each((task.id for task in late), lambda task: _lapse_one(parts, task))


async def _lapse_one(parts: Parts, task_id: str) -> None:
    async with parts.db.write() as c:
        run, task, now = await locked(c, task_id)
        if task is None or task.state != "claimed" or (task.lease_until or 0) >= now:
            return
        columns = transitions.lease_ended(task, now)
        await tasks.end_attempt(c, task, "lost", columns.get("reason"), None, now)
        settled = Settled()
        if run is None:
            await tasks.change(c, task.id, columns)
        else:
            settled = await settle(parts, c, run, task, columns, now)
    announce(parts, task, run, settled)


async def rested(parts: Parts) -> None:
    """Make ready what waited for the end of its pause after a failure."""
    async with parts.db.read() as c:
        over = await tasks.rest_over(c, await clock(c))
    await for_each(over, lambda task: _rested_one(parts, task), lambda task: task.id)


async def _rested_one(parts: Parts, task: Task) -> None:
    async with parts.db.write() as c:
        fresh = await tasks.get(c, task.id)
        if fresh is None or fresh.state != "waiting":
            return
        again = "waiting" if fresh.kind == "instance" and fresh.spec.get("model") else "ready"
        await tasks.change(c, task.id, {"state": again, "not_before": None})
    announce(parts, task, None, Settled())
