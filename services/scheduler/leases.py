"""Leases: a worker claims a task, keeps it by being heard (heartbeat), and gives it back with a report.

Lock order everywhere: the tasks of a run by replica, then the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from libs.common.db import clock
from libs.common.errors import Conflict
from services.scheduler import bells, calls, pipeline, plan
from services.scheduler.db import Connection, cache, runs, tasks, workers
from services.scheduler.parts import Parts
from services.scheduler.state import Reason, Run, Task, reason


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
    async with parts.db.write() as c:
        now = await clock(c)
        known = await workers.get(c, asked.worker)
        if known is not None and known.draining:
            return {"lease": None, "reason": reason("draining", "this worker takes nothing new")}
        found = await tasks.next_ready(c, asked.classes, stages=asked.free > 0, limit=parts.settings.app_stages)
        if found is None:
            return {"lease": None, "reason": reason("nothing_ready")}
        held = await tasks.claim(c, found, asked.worker, now, parts.settings.lease)
        spec, commit = await _order(c, held, now, parts.settings.internal_token)
    if held.run:
        parts.wakes.tell()
        parts.bells.ring(bells.run(held.run))
    lease = {"task": held.id, "kind": held.kind, "attempt": held.attempt, "token": held.token, "app": held.app}
    return {"lease": {**lease, "lease_seconds": parts.settings.lease, "commit": commit, "spec": spec}, "reason": None}


async def _order(c: Connection, task: Task, now: float, token: str) -> tuple[dict[str, Any], str]:
    """What the worker is to do, and at which commit."""
    if task.run is None:
        return {**task.spec, "log": instance_log(task)}, task.spec["commit"]
    run = await runs.get(c, task.app, task.run, lock=True)
    if run is None:
        raise Conflict("the run is gone")
    started = {"started_at": run.started_at or now, "status": "running" if run.status == "queued" else run.status}
    if run.started_at is None:
        started["deadline"] = now + run.plan["timeout"]
    run = await runs.change(c, run, started)
    siblings = {sibling.name: sibling for sibling in await tasks.of_run(c, run.id)}
    order = pipeline.work(run, task, siblings)
    if call := task.spec.get("call"):
        order["call"] = calls.granted(token, run, call)
    return order, run.plan["commit"]


def instance_log(task: Task) -> str:
    return f"instances/{task.id}/{task.attempt}"


async def report(parts: Parts, task_id: str, said: LastWord) -> None:
    """Take a worker's last word about a task. Raises Conflict when the lease is over: the result is dropped."""
    word = plan.Report(said.outcome, said.reason, said.outputs, said.log_tail, said.usage, said.answer)
    async with parts.db.write() as c:
        now = await clock(c)
        run, siblings = await locked(c, task_id)
        task = siblings.get(task_id)
        task = _held(task, said.worker, said.token)
        await tasks.end_attempt(c, task, said.outcome, said.reason, said.usage, now)
        if run is None:
            await tasks.change(c, task.id, plan.instance_reported(task, word, now))
        else:
            await settle(c, run, siblings, task, plan.stage_reported(run, task, word, now), now)
            if said.content and said.outcome == "succeeded":
                await cache.put(c, task, said.content, said.outputs or {}, now)
    announce(parts, task, run)


def _held(task: Task | None, worker: str, token: int) -> Task:
    """Raises Conflict when the lease is over."""
    if task is None or task.state != "claimed" or (task.token, task.worker) != (token, worker):
        raise Conflict("this lease is over; the result is dropped", code="stale_token")
    return task


async def reuse(parts: Parts, task_id: str, made: Made) -> bool:
    """Let the stage succeed with what an earlier one made of the same. Whether there was one."""
    async with parts.db.write() as c:
        now = await clock(c)
        run, siblings = await locked(c, task_id)
        task = _held(siblings.get(task_id), made.worker, made.token)
        found = await cache.find(c, task.app, made.content)
        if run is None or found is None:
            return False
        reused = {name: found[name] for name in ("run", "stage", "token")}
        await cache.reuse(c, found["run"], run.id)
        await tasks.end_attempt(c, task, "succeeded", None, None, now)
        columns = plan.stage_reported(run, task, plan.Report("succeeded", None, found["outputs"]), now)
        result = {**columns["result"], "reused": reused}
        await settle(c, run, siblings, task, {**columns, "result": result}, now)
    announce(parts, task, run)
    return True


async def locked(c: Connection, task_id: str) -> tuple[Run | None, Mapping[str, Task]]:
    """The task, whole, with its siblings and its run, all locked in the common order."""
    task = await tasks.get(c, task_id, lock=False)
    if task is None:
        return None, {}
    if task.run is None:
        fresh = await tasks.get(c, task_id)
        return None, {task_id: fresh} if fresh else {}
    siblings = {sibling.id: sibling for sibling in await tasks.of_run(c, task.run, lock=True)}
    siblings[task_id] = replace(siblings[task_id], spec=task.spec)
    return await runs.get(c, task.app, task.run, lock=True), siblings


async def settle(
    c: Connection, run: Run, siblings: Mapping[str, Task], task: Task | None, columns: Mapping[str, Any], now: float
) -> Run:
    """Write a task's new columns and all that follows from them for its run."""
    after = dict(siblings)
    if task is not None:
        after[task.id] = replace(task, **columns)
        if columns.get("state") == "publishing" and not pipeline.publications(run, after[task.id]):
            columns = {**columns, "state": "succeeded", "finished_at": now}
            after[task.id] = replace(task, **columns)
        await tasks.change(c, task.id, columns)
    step = plan.advance(run, after.values(), now)
    for other, changed in step.tasks.items():
        await tasks.change(c, other, changed)
    if step.tasks and not step.run:  # what was halted may have been the last that was open
        final = [Task(**{**one.__dict__, **step.tasks.get(one.id, {})}) for one in after.values()]
        step = plan.Step(plan.advance(run, final, now).run, {})
    return await runs.change(c, run, step.run)


def announce(parts: Parts, task: Task, run: Run | None) -> None:
    """Wake whom a changed task may concern."""
    parts.wakes.relay()
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
        run, siblings = await locked(c, task_id)
        task = siblings.get(task_id)
        if task is None or task.state != "claimed" or (task.lease_until or 0) >= now:
            return
        columns = plan.lease_ended(task, now)
        await tasks.end_attempt(c, task, "lost", columns.get("reason"), None, now)
        if run is None:
            await tasks.change(c, task.id, columns)
        else:
            await settle(c, run, siblings, task, columns, now)
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
