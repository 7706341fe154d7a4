"""Claims: a worker that has room is given the task whose turn it is.

Locks as `leases` does: the run, then its task.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from pydantic import Field

from libs.common import log
from libs.common.settings import Settings
from services.scheduler import notifications
from services.scheduler.callbacks.credentials import instance_token
from services.scheduler.db import Connection, ready_queue, runs, tasks
from services.scheduler.dependencies import Parts
from services.scheduler.model.state import Run, Task, Turn, reason
from services.scheduler.plans import planner
from services.scheduler.runs import async_prediction
from services.scheduler.tasks.leases import Wire

TRIES = 5
"""How often a worker whose task was taken by a faster one is told the next."""
AT_ONCE = 8
"""Tasks that are looked at for it."""


class Claim(Wire):
    worker: str = Field(min_length=1, max_length=128)
    classes: tuple[str, ...] = ("cpu",)
    free: int = 0


async def claim(parts: Parts, asked: Claim) -> dict[str, Any]:
    """The lease of the task whose turn it is, which need not be the one that was rung for, or of none."""
    for _ in range(TRIES):
        async with parts.db.write() as c:
            limit = parts.settings.app_stages
            turns, drains, now = await ready_queue.first(
                c, asked.worker, asked.classes, stages=asked.free > 0, limit=limit, most=AT_ONCE
            )
            if drains:
                return {"lease": None, "reason": reason("draining", "this worker takes nothing new")}
            found = await _first(c, turns, asked.worker, now, parts.settings.lease)
            if found is not None:
                lease = await _lease(c, *found, now, parts.settings)
        if found is not None:
            more = len(turns) > 1
            _announce_begun(parts, found[0], more=more)
            if parts.settings.run_log:
                _log_start(found[1])
            return {"lease": lease, "reason": None, "more": more}
        if not turns:
            break
    return {"lease": None, "reason": reason("nothing_ready")}


async def _first(
    c: Connection, turns: Sequence[Turn], worker: str, now: float, lease: float
) -> tuple[Task, Run | None] | None:
    """The first of the line, or of those right behind it in its run, given to the worker; None: others were faster."""
    if not turns:
        return None
    app, identity = turns[0].app, turns[0].run
    run = await runs.hold(c, app, identity) if identity else None
    if identity and run is None:
        return None
    for turn in takewhile(lambda one: one.run == identity, turns):
        if task := await tasks.claim(c, turn.task, worker, now, lease):
            return task, run
    return None


async def _lease(c: Connection, task: Task, run: Run | None, now: float, settings: Settings) -> dict[str, Any]:
    """What the worker is to do, at which commit, and for how long it need not be heard."""
    if run is None:
        own = {"instance_token": instance_token(settings.internal_token, task), "log": planner.instance_log(task)}
        spec, commit = {**task.spec, **own}, task.spec["commit"]
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
    if run.started_at is None:
        status = "running" if run.status == "queued" else run.status
        begun = {"started_at": now, "status": status, "deadline": now + run.plan["timeout"]}
        run = await runs.change(c, run, begun)
    writes = planner.producers(run)
    stage = run.stage(task)
    before = {writes[variable] for variable in stage["inputs"] if variable in writes}
    siblings = {sibling.name: sibling for sibling in await tasks.named(c, run.id, before)} if before else {}
    order = planner.work(run, task, siblings)
    if call := stage.get("call"):
        order["call"] = async_prediction.granted(token, run, call)
    return order


def _log_start(run: Run | None) -> None:
    """`run` as it was before the claim."""
    if run is not None and run.started_at is None:
        log.get("scheduler").info("run started", app=run.app, pipeline=run.pipeline, run=run.id, user=run.user)


def _announce_begun(parts: Parts, task: Task, *, more: bool) -> None:
    """`more`: others wait."""
    if more:
        parts.doorbells.claimed()
    if task.run:
        parts.wakes.tell()
        parts.bells.ring(notifications.run(task.run))
