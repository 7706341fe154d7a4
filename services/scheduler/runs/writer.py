"""The door for new runs: those that come at the same time are written in one transaction, before any is answered."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from libs.common.db import Database
from libs.common.disk import Disk
from libs.common.errors import Invalid, MeshError, TooManyRequests
from services.scheduler.callbacks.events import Callback
from services.scheduler.db import Connection, idempotency, tasks
from services.scheduler.db import runs as rows
from services.scheduler.model.run import Run
from services.scheduler.model.task import ReadyTask, Task
from services.scheduler.plans.planner import build_stage_tasks
from services.scheduler.runs.waiting_quota import Room
from services.scheduler.tasks.dispatcher import TaskDispatcher

AT_ONCE = 64
"""Runs of one transaction."""
WRITERS = 2
"""Transactions at a time: while the database is at work on one, the next is put together."""
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
    def name(self) -> idempotency.IdempotencyKey | None:
        return None if self.key is None else (self.run.app, self.run.user, self.path, self.key)


@dataclass(frozen=True)
class Admitted:
    """The run, new or of an earlier request with the same key."""

    run: Run
    stages: list[Task]
    callback: dict[str, Any] | None = None


Outcome = Admitted | MeshError
Waiting = tuple[Request, asyncio.Future[Admitted]]


class Admissions:
    """`limit`: runs of one app that may wait to be started."""

    def __init__(self, db: Database, limit: int, doorbells: TaskDispatcher, disk: Disk | None = None) -> None:
        self._db, self._limit, self._doorbells, self._disk = db, limit, doorbells, disk
        self._room = Room()
        self._waiting: deque[Waiting] = deque()
        self._door: asyncio.Task[None] | None = None
        self._writing: set[asyncio.Task[None]] = set()
        self._written = 0
        """For how many something is written."""

    async def admit(self, request: Request) -> Admitted:
        """Raises DiskFull, Invalid, TooManyRequests, Unavailable."""
        if self._disk is not None:
            self._disk.check()
        future: asyncio.Future[Admitted] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._door is None:
            self._door = asyncio.create_task(self._admit())
        return await future

    async def _admit(self) -> None:
        """Ends in the same step in which it finds nobody: who comes after that begins another."""
        try:
            while self._waiting:
                if len(self._writing) >= WRITERS:
                    await asyncio.wait(self._writing, return_when=asyncio.FIRST_COMPLETED)
                    continue
                some = self._some()
                if (now := self._known(some)) is None:
                    await asyncio.gather(*self._writing)  # what they write is to be counted
                    await self._answer(some, self._counted)
                else:
                    self._written += len(some)
                    writing = asyncio.create_task(self._answer(some, partial(self._at, now)))
                    self._writing.add(writing)
                    writing.add_done_callback(self._writing.discard)
        finally:
            self._door = None

    def _some(self) -> list[Waiting]:
        """A writer's share of those who are here, or else the first would take all and leave the next with few."""
        share = -(-(len(self._waiting) + self._written) // WRITERS)
        return [self._waiting.popleft() for _ in range(min(share, AT_ONCE, len(self._waiting)))]

    def _known(self, some: Sequence[Waiting]) -> float | None:
        """When they begin, if nothing has to be looked up for them."""
        if any(request.key is not None for request, _ in some):
            return None
        return self._room.take(Counter(request.run.app for request, _ in some))

    async def _answer(
        self, some: Sequence[Waiting], write: Callable[[Sequence[Request]], Awaitable[Sequence[Outcome]]]
    ) -> None:
        outcomes: Sequence[Outcome | Exception]
        try:
            outcomes = await write([request for request, _ in some])
        except Exception as error:  # noqa: BLE001  it is each caller's to hear, not this task's
            outcomes = [error] * len(some)
        for (_, future), outcome in zip(some, outcomes, strict=True):
            if future.done():
                continue  # the caller is gone; the run stays
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    async def _at(self, now: float, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Nothing but new runs: one statement."""
        try:
            new = [begun(one.run, now, one.callback) for one in requests]
            taken = self._taken(new)
            async with self._db.write(alone=True) as c:
                await add(c, new, {one.task: now for one in taken})
        finally:
            self._written -= len(requests)
        self._doorbells.publish_soon(taken)
        return new

    async def _counted(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        async with self._db.write() as c:
            room, now = await _room(c, requests, self._limit)
            outcomes, new = await admitted(c, requests, room, now)
            taken = self._taken(new)
            await add(c, new, {one.task: now for one in taken})
        self._room.counted(room, now)
        self._doorbells.publish_soon(taken)
        return outcomes

    def _taken(self, new: Iterable[Admitted]) -> tuple[ReadyTask, ...]:
        return self._doorbells.reserve(task.ready_task for one in new for task in one.stages if task.state == "ready")


async def _room(c: Connection, requests: Iterable[Request], limit: int) -> tuple[dict[str, int], float]:
    """How many more runs of each app may wait, and the time in epoch seconds."""
    room, now = {}, 0.0
    for app in {one.run.app for one in requests}:
        waiting, now = await rows.count_queued(c, app, limit)
        room[app] = limit - waiting
    return room, now


async def admitted(
    c: Connection, requests: Sequence[Request], room: dict[str, int], now: float
) -> tuple[list[Outcome], list[Admitted]]:
    """What each is told, in order; and the new runs among them, which have no rows yet. `room`: by app, until it is
    taken."""
    fresh = await idempotency.insert_keys(c, [_remembered(one, now) for one in requests if one.key is not None], now)
    found: list[Outcome] = []
    new: list[Admitted] = []
    for request in requests:
        name = request.name
        if name is not None and fresh.get(name) != request.run.id:
            found.append(await _earlier(c, request, new))
        elif room[request.run.app] <= 0:
            if name is not None:
                await idempotency.delete_key(c, name)
            sentence = f"{request.run.app} has as many waiting runs as it may"
            found.append(TooManyRequests(sentence, retry_after=BUSY_RETRY_S))
        else:
            room[request.run.app] -= 1
            new.append(begun(request.run, now, request.callback))
            found.append(new[-1])
    return found, new


def begun(draft: Run, now: float, callback: dict[str, Any] | None = None) -> Admitted:
    """The run that a draft becomes now, with its stages."""
    run = Run(**{**draft.__dict__, "created_at": now, "deadline": now + draft.plan["timeout"]})
    return Admitted(run, build_stage_tasks(run), callback)


async def add(c: Connection, new: Sequence[Admitted], rung: Mapping[str, float] = MappingProxyType({})) -> None:
    """The rows of new runs. `rung`: when was rung for a task."""
    stages = [tasks.new_task_row(task, rung.get(task.id)) for one in new for task in one.stages]
    told = [(one.run, one.callback) for one in new if one.callback is not None]
    called = [Callback(run=run.id, app=run.app, user=run.user, spec=spec) for run, spec in told]
    await rows.add(c, [one.run for one in new], stages, called)


def _remembered(request: Request, now: float) -> dict[str, Any]:
    own = {"app": request.run.app, "user": request.run.user, "path": request.path, "key": request.key}
    return {**own, "body": request.body, "run": request.run.id, "created_at": now}


async def _earlier(c: Connection, request: Request, new: Sequence[Admitted]) -> Outcome:
    """What the first request with this key was told; it may be one of the same transaction."""
    assert request.name is not None  # noqa: S101  only requests with a key have an earlier one
    known = await idempotency.find_key(c, request.name)
    if known is None:  # it was refused a moment ago, in the same transaction
        return TooManyRequests("the first request with this Idempotency-Key was refused", retry_after=BUSY_RETRY_S)
    body, identity = known
    if body != request.body:
        return Invalid("this Idempotency-Key was used with another body; use a new one")
    if (together := next((one for one in new if one.run.id == identity), None)) is not None:
        return together
    run = await rows.get(c, request.run.app, identity)
    assert run is not None  # noqa: S101  a run that goes takes its keys along
    return Admitted(run, await tasks.list_by_run(c, identity), request.callback)
