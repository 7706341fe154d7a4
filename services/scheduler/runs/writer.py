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
from services.scheduler.db import Connection, idempotency, tasks
from services.scheduler.db import runs as run_rows
from services.scheduler.model.callback import Callback
from services.scheduler.model.run import Run
from services.scheduler.model.task import ReadyTask, Task
from services.scheduler.plans.planner import build_stage_tasks
from services.scheduler.runs.waiting_quota import WaitingRunQuota
from services.scheduler.tasks.dispatcher import TaskDispatcher

MAX_BATCH = 64
"""Runs of one transaction."""
MAX_CONCURRENT_WRITES = 2
"""Transactions at a time: while the database is at work on one, the next is put together."""
BUSY_RETRY_S = 5.0


@dataclass(frozen=True)
class SubmitRequest:
    """A run that somebody asks for. `key`: what tells it from another like it; `body`: the hash of what was sent."""

    run: Run
    path: str
    key: str | None
    body: str
    callback: dict[str, Any] | None = None

    @property
    def idempotency_key(self) -> idempotency.IdempotencyKey | None:
        return None if self.key is None else (self.run.app, self.run.user, self.path, self.key)


@dataclass(frozen=True)
class SubmittedRun:
    """The run, new or of an earlier request with the same key."""

    run: Run
    stages: list[Task]
    callback: dict[str, Any] | None = None


Outcome = SubmittedRun | MeshError
QueuedRequest = tuple[SubmitRequest, asyncio.Future[SubmittedRun]]


class RunWriter:
    """`limit`: runs of one app that may wait to be started."""

    def __init__(self, db: Database, limit: int, dispatcher: TaskDispatcher, disk: Disk | None = None) -> None:
        self._db, self._limit, self._dispatcher, self._disk = db, limit, dispatcher, disk
        self._quota = WaitingRunQuota()
        self._queue: deque[QueuedRequest] = deque()
        self._batcher: asyncio.Task[None] | None = None
        self._writes: set[asyncio.Task[None]] = set()
        self._unfinished = 0
        """For how many something is written."""

    async def submit(self, request: SubmitRequest) -> SubmittedRun:
        """Raises DiskFull, Invalid, TooManyRequests, Unavailable."""
        if self._disk is not None:
            self._disk.check_free_space()
        future: asyncio.Future[SubmittedRun] = asyncio.get_running_loop().create_future()
        self._queue.append((request, future))
        if self._batcher is None:
            self._batcher = asyncio.create_task(self._write_batches())
        return await future

    async def _write_batches(self) -> None:
        """Ends in the same step in which it finds nobody: who comes after that begins another."""
        try:
            while self._queue:
                if len(self._writes) >= MAX_CONCURRENT_WRITES:
                    await asyncio.wait(self._writes, return_when=asyncio.FIRST_COMPLETED)
                    continue
                batch = self._next_batch()
                if (now := self._reserve_quota(batch)) is None:
                    await asyncio.gather(*self._writes)  # what they write is to be counted
                    await self._write_batch(batch, self._insert_checked)
                else:
                    self._unfinished += len(batch)
                    write = asyncio.create_task(self._write_batch(batch, partial(self._insert_fast, now)))
                    self._writes.add(write)
                    write.add_done_callback(self._writes.discard)
        finally:
            self._batcher = None

    def _next_batch(self) -> list[QueuedRequest]:
        """A writer's share of those who are here, or else the first would take all and leave the next with few."""
        share = -(-(len(self._queue) + self._unfinished) // MAX_CONCURRENT_WRITES)
        return [self._queue.popleft() for _ in range(min(share, MAX_BATCH, len(self._queue)))]

    def _reserve_quota(self, batch: Sequence[QueuedRequest]) -> float | None:
        """When they begin, if nothing has to be looked up for them."""
        if any(request.key is not None for request, _ in batch):
            return None
        return self._quota.try_reserve(Counter(request.run.app for request, _ in batch))

    async def _write_batch(
        self, batch: Sequence[QueuedRequest], write: Callable[[Sequence[SubmitRequest]], Awaitable[Sequence[Outcome]]]
    ) -> None:
        outcomes: Sequence[Outcome | Exception]
        try:
            outcomes = await write([request for request, _ in batch])
        except Exception as error:  # noqa: BLE001  it is each caller's to hear, not this task's
            outcomes = [error] * len(batch)
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue  # the caller is gone; the run stays
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    async def _insert_fast(self, now: float, requests: Sequence[SubmitRequest]) -> Sequence[Outcome]:
        """Nothing but new runs: one statement."""
        try:
            submitted = [start_run(request.run, now, request.callback) for request in requests]
            reserved = self._reserve_dispatch(submitted)
            async with self._db.write(single_statement=True) as conn:
                await insert_runs(conn, submitted, {ready_task.task: now for ready_task in reserved})
        finally:
            self._unfinished -= len(requests)
        self._dispatcher.publish_soon(reserved)
        return submitted

    async def _insert_checked(self, requests: Sequence[SubmitRequest]) -> Sequence[Outcome]:
        async with self._db.write() as conn:
            remaining, now = await _count_remaining(conn, requests, self._limit)
            outcomes, new = await resolve_batch(conn, requests, remaining, now)
            reserved = self._reserve_dispatch(new)
            await insert_runs(conn, new, {ready_task.task: now for ready_task in reserved})
        self._quota.refresh(remaining, now)
        self._dispatcher.publish_soon(reserved)
        return outcomes

    def _reserve_dispatch(self, new: Iterable[SubmittedRun]) -> tuple[ReadyTask, ...]:
        return self._dispatcher.reserve(
            task.ready_task for submitted in new for task in submitted.stages if task.state == "ready"
        )


async def _count_remaining(
    conn: Connection, requests: Iterable[SubmitRequest], limit: int
) -> tuple[dict[str, int], float]:
    """How many more runs of each app may wait, and the time in epoch seconds."""
    remaining, now = {}, 0.0
    for app in {request.run.app for request in requests}:
        waiting, now = await run_rows.count_queued(conn, app, limit)
        remaining[app] = limit - waiting
    return remaining, now


async def resolve_batch(
    conn: Connection, requests: Sequence[SubmitRequest], remaining: dict[str, int], now: float
) -> tuple[list[Outcome], list[SubmittedRun]]:
    """What each is told, in order; and the new runs among them, which have no rows yet. `room`: by app, until it is
    taken."""
    new_keys = await idempotency.insert_keys(
        conn, [_key_row(request, now) for request in requests if request.key is not None], now
    )
    outcomes: list[Outcome] = []
    new: list[SubmittedRun] = []
    for request in requests:
        key = request.idempotency_key
        if key is not None and new_keys.get(key) != request.run.id:
            outcomes.append(await _find_existing(conn, request, new))
        elif remaining[request.run.app] <= 0:
            if key is not None:
                await idempotency.delete_key(conn, key)
            message = f"{request.run.app} has as many waiting runs as it may"
            outcomes.append(TooManyRequests(message, retry_after=BUSY_RETRY_S))
        else:
            remaining[request.run.app] -= 1
            new.append(start_run(request.run, now, request.callback))
            outcomes.append(new[-1])
    return outcomes, new


def start_run(draft: Run, now: float, callback: dict[str, Any] | None = None) -> SubmittedRun:
    """The run that a draft becomes now, with its stages."""
    run = Run(**{**draft.__dict__, "created_at": now, "deadline": now + draft.plan["timeout"]})
    return SubmittedRun(run, build_stage_tasks(run), callback)


async def insert_runs(
    conn: Connection, new: Sequence[SubmittedRun], dispatched: Mapping[str, float] = MappingProxyType({})
) -> None:
    """The rows of new runs. `rung`: when was rung for a task."""
    stages = [tasks.new_task_row(task, dispatched.get(task.id)) for submitted in new for task in submitted.stages]
    with_callback = [(submitted.run, submitted.callback) for submitted in new if submitted.callback is not None]
    callbacks = [Callback(run=run.id, app=run.app, user=run.user, spec=spec) for run, spec in with_callback]
    await run_rows.add(conn, [submitted.run for submitted in new], stages, callbacks)


def _key_row(request: SubmitRequest, now: float) -> dict[str, Any]:
    key = {"app": request.run.app, "user": request.run.user, "path": request.path, "key": request.key}
    return {**key, "body": request.body, "run": request.run.id, "created_at": now}


async def _find_existing(conn: Connection, request: SubmitRequest, new: Sequence[SubmittedRun]) -> Outcome:
    """What the first request with this key was told; it may be one of the same transaction."""
    assert request.idempotency_key is not None  # noqa: S101  only requests with a key have an earlier one
    existing = await idempotency.find_key(conn, request.idempotency_key)
    if existing is None:  # it was refused a moment ago, in the same transaction
        return TooManyRequests("the first request with this Idempotency-Key was refused", retry_after=BUSY_RETRY_S)
    body, run_id = existing
    if body != request.body:
        return Invalid("this Idempotency-Key was used with another body; use a new one")
    if (in_batch := next((submitted for submitted in new if submitted.run.id == run_id), None)) is not None:
        return in_batch
    run = await run_rows.get(conn, request.run.app, run_id)
    assert run is not None  # noqa: S101  a run that goes takes its keys along
    return SubmittedRun(run, await tasks.list_by_run(conn, run_id), request.callback)
