"""The door for new runs: those that come at the same time are written in one transaction, before any is answered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from libs.common.db import Database
from libs.common.errors import Invalid, MeshError, TooManyRequests
from services.scheduler.callback import Callback
from services.scheduler.db import Connection, callbacks, tasks
from services.scheduler.db import runs as rows
from services.scheduler.doorbells import Doorbells
from services.scheduler.pipeline import stage_tasks
from services.scheduler.state import Run, Task

AT_ONCE = 64
"""Runs of one transaction."""
FEW = 4
GATHER_S = 0.001
"""What is waited for others after a transaction of more than a few."""
BUSY_RETRY_S = 5.0


@dataclass(frozen=True)
class Request:
    """A run that somebody asks for. `key`: what tells it from another like it; `body`: the hash of what was sent."""

    run: Run
    path: str
    key: str | None
    body: str
    callback: dict[str, Any] | None = None

    @property
    def name(self) -> rows.Key | None:
        return None if self.key is None else (self.run.app, self.run.user, self.path, self.key)


@dataclass(frozen=True)
class Admitted:
    """The run, new or of an earlier request with the same key."""

    run: Run
    stages: list[Task]
    callback: dict[str, Any] | None = None


Outcome = Admitted | MeshError


class Admissions:
    """`limit`: runs of one app that may wait to be started."""

    def __init__(self, db: Database, limit: int, doorbells: Doorbells) -> None:
        self._db, self._limit, self._doorbells = db, limit, doorbells
        self._waiting: deque[tuple[Request, asyncio.Future[Admitted]]] = deque()
        self._writer: asyncio.Task[None] | None = None

    async def admit(self, request: Request) -> Admitted:
        """Raises Invalid, TooManyRequests, Unavailable."""
        future: asyncio.Future[Admitted] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return await future

    async def _write(self) -> None:
        """Ends in the same step in which it finds nobody: who comes after that begins another."""
        some = 1
        try:
            while self._waiting:
                if some > FEW:  # those who were answered together come back together
                    await asyncio.sleep(GATHER_S)
                some = await self._write_some()
        finally:
            self._writer = None

    async def _write_some(self) -> int:
        some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        outcomes = await self._outcomes([request for request, _ in some])
        for (_, future), outcome in zip(some, outcomes, strict=True):
            if future.done():
                continue  # the caller is gone; the run stays
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        return len(some)

    async def _outcomes(self, requests: Sequence[Request]) -> Sequence[Outcome | Exception]:
        try:
            async with self._db.write() as c:
                outcomes, new, now = await admitted(c, requests, self._limit)
                ready = [task.doorbell for one in new for task in one.stages if task.state == "ready"]
                taken = self._doorbells.take(ready)
                await add(c, new, {one.task: now for one in taken})
        except Exception as error:  # noqa: BLE001  it is each caller's to hear, not this task's
            return [error] * len(requests)
        self._doorbells.ring(taken)
        return outcomes


async def admitted(
    c: Connection, requests: Sequence[Request], limit: int
) -> tuple[list[Outcome], list[Admitted], float]:
    """What each is told, in order; the new runs among them, which have no rows yet; when they have begun."""
    room, now = {}, 0.0
    for app in {one.run.app for one in requests}:
        waiting, now = await rows.waiting(c, app, limit)
        room[app] = limit - waiting
    fresh = await rows.remember(c, [_remembered(one, now) for one in requests if one.key is not None], now)
    found: list[Outcome] = []
    new: list[Admitted] = []
    for request in requests:
        name = request.name
        if name is not None and fresh.get(name) != request.run.id:
            found.append(await _earlier(c, request, new))
        elif room[request.run.app] <= 0:
            if name is not None:
                await rows.forget(c, name)
            sentence = f"{request.run.app} has {limit} waiting runs"
            found.append(TooManyRequests(sentence, retry_after=BUSY_RETRY_S))
        else:
            room[request.run.app] -= 1
            new.append(begun(request.run, now, request.callback))
            found.append(new[-1])
    return found, new, now


def begun(draft: Run, now: float, callback: dict[str, Any] | None = None) -> Admitted:
    """The run that a draft becomes now, with its stages."""
    run = replace(draft, created_at=now, deadline=now + draft.plan["timeout"])
    return Admitted(run, stage_tasks(run), callback)


async def add(c: Connection, new: Sequence[Admitted], rung: Mapping[str, float] = MappingProxyType({})) -> None:
    """The rows of new runs. `rung`: when was rung for a task."""
    await rows.add(c, [one.run for one in new])
    stages = [task for one in new for task in one.stages]
    await tasks.add(c, [{**task.__dict__, "rung_at": rung.get(task.id)} for task in stages])
    told = [(one.run, one.callback) for one in new if one.callback is not None]
    await callbacks.add(c, [Callback(run=run.id, app=run.app, user=run.user, spec=spec) for run, spec in told])


def _remembered(request: Request, now: float) -> dict[str, Any]:
    own = {"app": request.run.app, "user": request.run.user, "path": request.path, "key": request.key}
    return {**own, "body": request.body, "run": request.run.id, "created_at": now}


async def _earlier(c: Connection, request: Request, new: Sequence[Admitted]) -> Outcome:
    """What the first request with this key was told; it may be one of the same transaction."""
    assert request.name is not None  # noqa: S101  only requests with a key have an earlier one
    known = await rows.remembered(c, request.name)
    if known is None:  # it was refused a moment ago, in the same transaction
        return TooManyRequests("the first request with this Idempotency-Key was refused", retry_after=BUSY_RETRY_S)
    body, identity = known
    if body != request.body:
        return Invalid("this Idempotency-Key was used with another body; use a new one")
    if (together := next((one for one in new if one.run.id == identity), None)) is not None:
        return together
    run = await rows.get(c, request.run.app, identity)
    assert run is not None  # noqa: S101  a run that goes takes its keys along
    return Admitted(run, await tasks.of_run(c, identity), request.callback)
