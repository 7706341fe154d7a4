"""Group commit of new runs: concurrent submissions share a transaction, and each is answered after its commit."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from libs.common import log
from libs.common.db import Database
from libs.common.disk import Disk
from libs.common.errors import Invalid, MeshError, TooManyRequests
from libs.common.frozen import copy_with
from services.scheduler.db import Connection, idempotency, tasks
from services.scheduler.db import runs as run_rows
from services.scheduler.db.task_rows import new_task_row
from services.scheduler.model.callback import Callback, CallbackRequest
from services.scheduler.model.run import Run
from services.scheduler.model.task import ReadyTask, Task
from services.scheduler.plans.planner import build_stage_tasks
from services.scheduler.runs.queued_run_quota import QueuedRunQuota
from services.scheduler.tasks.ready_publisher import ReadyPublisher

MAX_BATCH = 64
"""Runs per transaction."""
MAX_CONCURRENT_WRITES = 2
"""Concurrent transactions: while the database executes one, the next batch is built."""
BUSY_RETRY_S = 5.0


@dataclass(frozen=True)
class SubmitRequest:
    """A run to insert. `key`: its Idempotency-Key; `body_hash`: of the request body."""

    run: Run
    path: str
    key: str | None
    body_hash: str
    callback: CallbackRequest | None = None

    @property
    def idempotency_key(self) -> idempotency.IdempotencyKey | None:
        if self.key is None:
            return None
        return idempotency.IdempotencyKey(self.run.app, self.run.user, self.path, self.key)


@dataclass(frozen=True)
class SubmittedRun:
    """The run: new, or of an earlier request with the same key."""

    run: Run
    stages: list[Task]
    callback: CallbackRequest | None = None


Outcome = SubmittedRun | MeshError
QueuedRequest = tuple[SubmitRequest, asyncio.Future[SubmittedRun]]


class RunWriter:
    """Writes runs in batches. `limit`: waiting runs per app."""

    def __init__(self, db: Database, limit: int, publisher: ReadyPublisher, disk: Disk | None = None) -> None:
        self._db, self._limit, self._publisher, self._disk = db, limit, publisher, disk
        self._quota = QueuedRunQuota()
        self._queue: deque[QueuedRequest] = deque()
        self._batcher: asyncio.Task[None] | None = None
        self._writes: set[asyncio.Task[None]] = set()
        self._unfinished = 0
        """Requests in transactions that have not finished."""

    async def submit(self, request: SubmitRequest) -> SubmittedRun:
        """Insert the run with the next batch. Raises DiskFull, Invalid, TooManyRequests, Unavailable."""
        if self._disk is not None:
            self._disk.check_free_space()
        future: asyncio.Future[SubmittedRun] = asyncio.get_running_loop().create_future()
        self._queue.append((request, future))
        if self._batcher is None:
            self._batcher = asyncio.create_task(self._write_batches())
        return await future

    async def _write_batches(self) -> None:
        """Runs while the queue has entries. No await separates the last check from the end, so no entry is missed."""
        try:
            while self._queue:
                if len(self._writes) >= MAX_CONCURRENT_WRITES:
                    await asyncio.wait(self._writes, return_when=asyncio.FIRST_COMPLETED)
                    continue
                batch = self._next_batch()
                if (now := self._reserve_quota(batch)) is None:
                    await asyncio.gather(*self._writes)  # the count must include them
                    await self._write_batch(batch, self._insert_checked)
                else:
                    self._unfinished += len(batch)
                    write = asyncio.create_task(self._write_batch(batch, partial(self._insert_fast, now)))
                    self._writes.add(write)
                    write.add_done_callback(self._writes.discard)
        finally:
            self._batcher = None

    def _next_batch(self) -> list[QueuedRequest]:
        """Split the backlog evenly between the writers."""
        share = -(-(len(self._queue) + self._unfinished) // MAX_CONCURRENT_WRITES)
        return [self._queue.popleft() for _ in range(min(share, MAX_BATCH, len(self._queue)))]

    def _reserve_quota(self, batch: Sequence[QueuedRequest]) -> float | None:
        """The creation time if the fast path is possible: no key in the batch, and quota left in the cache."""
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
                continue  # the caller disconnected; the run stays
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    async def _insert_fast(self, now: float, requests: Sequence[SubmitRequest]) -> Sequence[Outcome]:
        """The fast path: one INSERT statement, no reads."""
        try:
            submitted = [start_run(request.run, now, request.callback) for request in requests]
            reserved = self._reserve_dispatch(submitted)
            async with self._db.write(single_statement=True) as conn:
                await insert_runs(conn, submitted, {ready_task.task: now for ready_task in reserved})
        finally:
            self._unfinished -= len(requests)
        self._publisher.publish_soon(reserved)
        return submitted

    async def _insert_checked(self, requests: Sequence[SubmitRequest]) -> Sequence[Outcome]:
        async with self._db.write() as conn:
            remaining, now = await _count_remaining(conn, requests, self._limit)
            outcomes, new = await resolve_batch(conn, requests, remaining, self._limit, now)
            reserved = self._reserve_dispatch(new)
            await insert_runs(conn, new, {ready_task.task: now for ready_task in reserved})
        self._quota.refresh(remaining, now)
        self._publisher.publish_soon(reserved)
        return outcomes

    def _reserve_dispatch(self, new: Iterable[SubmittedRun]) -> tuple[ReadyTask, ...]:
        return self._publisher.reserve(
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
    conn: Connection, requests: Sequence[SubmitRequest], remaining: dict[str, int], limit: int, now: float
) -> tuple[list[Outcome], list[SubmittedRun]]:
    """The outcome of each request, in order, and the new runs among them, which are not inserted yet.

    `remaining`: quota by app, which this decrements, out of `limit`.
    """
    keyed_requests = [
        idempotency.KeyedRequest(key, request.body_hash, request.run.id)
        for request in requests
        if (key := request.idempotency_key) is not None
    ]
    new_keys = await idempotency.insert_keys(conn, keyed_requests, now)
    outcomes: list[Outcome] = []
    new: list[SubmittedRun] = []
    for request in requests:
        key = request.idempotency_key
        if key is not None and new_keys.get(key) != request.run.id:
            outcomes.append(await _find_existing(conn, request, new))
        elif remaining[request.run.app] <= 0:
            if key is not None:
                await idempotency.delete_key(conn, key)
            message = f"{request.run.app} has reached its limit of {limit} waiting runs"
            outcomes.append(TooManyRequests(message, retry_after=BUSY_RETRY_S))
        else:
            remaining[request.run.app] -= 1
            new.append(start_run(request.run, now, request.callback))
            outcomes.append(new[-1])
    return outcomes, new


def start_run(draft: Run, now: float, callback: CallbackRequest | None = None) -> SubmittedRun:
    """The run with its creation time, deadline and stages."""
    run = copy_with(draft, created_at=now, deadline=now + draft.plan.timeout)
    return SubmittedRun(run, build_stage_tasks(run), callback)


def log_submission(run: Run) -> None:
    """At level debug: a line at info would take a tenth of a submission."""
    log.get("scheduler").debug("Run submitted", app=run.app, pipeline=run.pipeline, run=run.id, user=run.user)


async def insert_runs(
    conn: Connection, new: Sequence[SubmittedRun], dispatched: Mapping[str, float] = MappingProxyType({})
) -> None:
    """Insert new runs with their tasks and callbacks. `dispatched`: time of dispatch by task."""
    stages = [new_task_row(task, dispatched.get(task.id)) for submitted in new for task in submitted.stages]
    with_callback = [(submitted.run, submitted.callback) for submitted in new if submitted.callback is not None]
    callbacks = [Callback(run=run.id, app=run.app, user=run.user, spec=spec) for run, spec in with_callback]
    await run_rows.add(conn, [submitted.run for submitted in new], stages, callbacks)


async def _find_existing(conn: Connection, request: SubmitRequest, new: Sequence[SubmittedRun]) -> Outcome:
    """The outcome of the first request with this key, which may be in the same batch."""
    assert request.idempotency_key is not None  # noqa: S101  only requests with a key get here
    existing = await idempotency.find_key(conn, request.idempotency_key)
    if existing is None:  # rejected a moment ago, in the same transaction
        return TooManyRequests("the first request with this Idempotency-Key was refused", retry_after=BUSY_RETRY_S)
    body_hash, run_id = existing
    if body_hash != request.body_hash:
        return Invalid("this Idempotency-Key was used with another body; use a new one")
    if (in_batch := next((submitted for submitted in new if submitted.run.id == run_id), None)) is not None:
        return in_batch
    run = await run_rows.get(conn, request.run.app, run_id)
    assert run is not None  # noqa: S101  deleting a run deletes its keys
    return SubmittedRun(run, await tasks.list_by_run(conn, run_id), request.callback)
