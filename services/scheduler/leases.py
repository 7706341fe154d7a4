"""Leases: a worker claims a task, keeps it by being heard (heartbeat), and gives it back with a report.

Lock order everywhere: the run, then tasks by id. Who changes what a stage is holds its run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from libs.common.db import clock
from libs.common.errors import Conflict
from libs.common.settings import Settings
from services.scheduler import bells, calls, pipeline, plan
from services.scheduler.db import Connection, cache, runs, tasks, workers
from services.scheduler.parts import Parts
from services.scheduler.state import ENDED_BADLY, Reason, Run, Task, TaskState, Turn, reason

TRIES = 5
"""How often a worker whose task was taken by a faster one is told the next."""
AT_ONCE = 8
"""Tasks that are looked at for it."""


class Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Claim(Wire):
    worker: str = Field(min_length=1, max_length=128)
    classes: tuple[str, ...] = ("cpu",)
    free: int = 0


class LastWord(Wire):
    worker: str
    token: int
    outcome: str
    reason: Reason | None = None
    outputs: dict[str, Any] | None = None
    log_tail: tuple[str, ...] = ()
    usage: dict[str, Any] | None = None
    answer: dict[str, Any] | None = None
    """What the component said, of a prediction."""
    content: str | None = Field(default=None, max_length=64)
    """What the stage was made of, if its outputs are to be kept for others."""


class Made(Wire):
    """What a stage that is about to run is made of."""

    worker: str
    token: int
    content: str = Field(max_length=64)


async def claim(parts: Parts, asked: Claim) -> dict[str, Any]:
    """The lease of the task whose turn it is, which need not be the one that was rung for, or of none."""
    for _ in range(TRIES):
        async with parts.db.write() as c:
            now = await clock(c)
            known = await workers.get(c, asked.worker)
            if known is not None and known.draining:
                return {"lease": None, "reason": reason("draining", "this worker takes nothing new")}
            limit = parts.settings.app_stages
            line = await tasks.in_turn(c, asked.classes, stages=asked.free > 0, limit=limit, most=AT_ONCE)
            found = await _first(c, line, asked.worker, now, parts.settings.lease)
            if found is not None:
                lease = await _lease(c, *found, now, parts.settings)
        if found is not None:
            _announce_begun(parts, found[0])
            return {"lease": lease, "reason": None}
        if not line:
            break
    return {"lease": None, "reason": reason("nothing_ready")}


async def _first(
    c: Connection, line: Sequence[Turn], worker: str, now: float, lease: float
) -> tuple[Task, Run | None] | None:
    """The first of the line, or of those right behind it in its run, given to the worker; None: others were faster."""
    if not line:
        return None
    app, identity = line[0].app, line[0].run
    run = await runs.get(c, app, identity, lock=True) if identity else None
    if identity and run is None:
        return None
    for turn in takewhile(lambda one: one.run == identity, line):
        if task := await tasks.claim(c, turn.task, worker, now, lease):
            return task, run
    return None


async def _lease(c: Connection, task: Task, run: Run | None, now: float, settings: Settings) -> dict[str, Any]:
    """What the worker is to do, at which commit, and for how long it need not be heard."""
    if run is None:
        spec, commit = {**task.spec, "log": instance_log(task)}, task.spec["commit"]
    else:
        spec, commit = await _order(c, task, run, now, settings.internal_token), run.plan["commit"]
    return {
        "task": task.id,
        "kind": task.kind,
        "attempt": task.attempt,
        "token": task.token,
        "app": task.app,
        "lease_seconds": settings.lease,
        "commit": commit,
        "spec": spec,
    }


async def _order(c: Connection, task: Task, run: Run, now: float, token: str) -> dict[str, Any]:
    started = {"started_at": run.started_at or now, "status": "running" if run.status == "queued" else run.status}
    if run.started_at is None:
        started["deadline"] = now + run.plan["timeout"]
    run = await runs.change(c, run, started)
    writes = pipeline.producers(run)
    before = {writes[variable] for variable in task.spec["inputs"] if variable in writes}
    siblings = {sibling.name: sibling for sibling in await tasks.named(c, run.id, before)} if before else {}
    order = pipeline.work(run, task, siblings)
    if call := task.spec.get("call"):
        order["call"] = calls.granted(token, run, call)
    return order


def _announce_begun(parts: Parts, task: Task) -> None:
    if task.run:
        parts.wakes.tell()
        parts.bells.ring(bells.run(task.run))


def instance_log(task: Task) -> str:
    return f"instances/{task.id}/{task.attempt}"


async def report(parts: Parts, task_id: str, said: LastWord) -> None:
    """Take a worker's last word about a task. Raises Conflict when the lease is over: the result is dropped."""
    word = plan.Report(said.outcome, said.reason, said.outputs, said.log_tail, said.usage, said.answer)
    async with parts.db.write() as c:
        now = await clock(c)
        run, found = await locked(c, task_id)
        task = _held(found, said.worker, said.token)
        await tasks.end_attempt(c, task, said.outcome, said.reason, said.usage, now)
        publishes = False
        if run is None:
            await tasks.change(c, task.id, plan.instance_reported(task, word, now))
        else:
            publishes = await settle(c, run, task, plan.stage_reported(run, task, word, now), now)
            if said.content and said.outcome == "succeeded":
                await cache.put(c, task, said.content, said.outputs or {}, now)
    announce(parts, task, run, publishes=publishes)


def _held(task: Task | None, worker: str, token: int) -> Task:
    """Raises Conflict when the lease is over."""
    if task is None or task.state != "claimed" or (task.token, task.worker) != (token, worker):
        raise Conflict("this lease is over; the result is dropped", code="stale_token")
    return task


async def reuse(parts: Parts, task_id: str, made: Made) -> bool:
    """Let the stage succeed with what an earlier one made of the same. Whether there was one."""
    async with parts.db.write() as c:
        now = await clock(c)
        run, found = await locked(c, task_id)
        task = _held(found, made.worker, made.token)
        kept = await cache.find(c, task.app, made.content)
        if run is None or kept is None:
            return False
        reused = {name: kept[name] for name in ("run", "stage", "token")}
        await cache.reuse(c, kept["run"], run.id)
        await tasks.end_attempt(c, task, "succeeded", None, None, now)
        columns = plan.stage_reported(run, task, plan.Report("succeeded", None, kept["outputs"]), now)
        result = {**columns["result"], "reused": reused}
        publishes = await settle(c, run, task, {**columns, "result": result}, now)
    announce(parts, task, run, publishes=publishes)
    return True


async def locked(c: Connection, task_id: str) -> tuple[Run | None, Task | None]:
    """The task and its run, locked in the common order."""
    place = await tasks.place(c, task_id)
    if place is None:
        return None, None
    app, identity = place
    run = await runs.get(c, app, identity, lock=True) if identity else None
    return run, await tasks.get(c, task_id)


async def settle(c: Connection, run: Run, task: Task | None, columns: Mapping[str, Any], now: float) -> bool:
    """Write a task's new columns and all that follows from them for its run, which is locked.

    Whether the task has outputs to be published.
    """
    changes: dict[str, Mapping[str, Any]] = {}
    if task is not None:
        if columns.get("state") == "publishing" and not pipeline.publications(run, replace(task, **columns)):
            columns = {**columns, "state": "succeeded", "finished_at": now}
        changes[task.id] = columns
        task = replace(task, **columns)
    stages, others = await _concerned(c, run, task)
    step = plan.advance(run, stages, now, others)
    for other, more in step.tasks.items():
        changes[other] = {**changes.get(other, {}), **more}
    for identity in sorted(changes):
        await tasks.change(c, identity, changes[identity])
    if step.tasks and not step.run:  # what was halted may have been the last that was open
        final = [replace(one, **step.tasks.get(one.id, {})) for one in stages]
        step = plan.Step(plan.advance(run, final, now, others).run, {})
    await runs.change(c, run, step.run)
    return task is not None and task.state == "publishing"


async def _concerned(c: Connection, run: Run, changed: Task | None) -> tuple[list[Task], frozenset[TaskState]]:
    """The stages that a changed one may change, and the states of the rest: of a run of thousands that is little."""
    if changed is not None and changed.state not in ENDED_BADLY and run.status != "canceling":
        near = plan.near(run, changed)
        others = await tasks.states(c, run.id, {changed.name, *near})
        if not others & ENDED_BADLY:
            found = await tasks.named(c, run.id, near - {changed.name}) if near - {changed.name} else []
            return [changed, *found], others
    return [changed if changed and changed.id == one.id else one for one in await tasks.of_run(c, run.id)], frozenset()


def announce(parts: Parts, task: Task, run: Run | None, *, publishes: bool = False) -> None:
    """Wake whom a changed task may concern."""
    parts.wakes.relay()
    if publishes:
        parts.wakes.publish()
    if run is None:
        parts.wakes.converge(task.app)
        return
    parts.bells.ring(bells.run(run.id))
    parts.wakes.tell()
    if run.chain:
        parts.wakes.succeed()
    if task.worker:
        parts.bells.ring(bells.worker(task.worker))


async def lapse(parts: Parts) -> None:
    """Take tasks back from workers that were silent for a whole lease."""
    async with parts.db.read() as c:
        late = await tasks.lapsed(c, await clock(c))
    for task in late:
        await _lapse_one(parts, task.id)


async def _lapse_one(parts: Parts, task_id: str) -> None:
    async with parts.db.write() as c:
        now = await clock(c)
        run, task = await locked(c, task_id)
        if task is None or task.state != "claimed" or (task.lease_until or 0) >= now:
            return
        columns = plan.lease_ended(task, now)
        await tasks.end_attempt(c, task, "lost", columns.get("reason"), None, now)
        if run is None:
            await tasks.change(c, task.id, columns)
        else:
            await settle(c, run, task, columns, now)
    announce(parts, task, run)


async def rested(parts: Parts) -> None:
    """Make ready what waited for the end of its pause after a failure."""
    async with parts.db.read() as c:
        over = await tasks.rest_over(c, await clock(c))
    for task in over:
        async with parts.db.write() as c:
            fresh = await tasks.get(c, task.id)
            if fresh is None or fresh.state != "waiting":
                continue
            again = "waiting" if fresh.kind == "instance" and fresh.spec.get("model") else "ready"
            await tasks.change(c, task.id, {"state": again, "not_before": None})
        announce(parts, task, None)
