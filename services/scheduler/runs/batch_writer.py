"""Group commit of new runs: concurrent submissions share a transaction, and each is answered after its commit."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from libs.common.db import Database
from libs.common.disk import Disk
from services.scheduler.model.task import ReadyTask
from services.scheduler.runs.new_runs import SubmittedRun, insert_runs, start_run
from services.scheduler.runs.queued_run_quota_cache import QueuedRunQuotaCache
from services.scheduler.runs.submission_admission import Outcome, SubmitRequest, count_remaining, resolve_batch
from services.scheduler.tasks.ready_publisher import ReadyPublisher

MAX_BATCH = 64
"""Runs per transaction."""
MAX_CONCURRENT_WRITES = 2
"""Concurrent transactions: while the database executes one, the next batch is built."""
QueuedRequest = tuple[SubmitRequest, asyncio.Future[SubmittedRun]]


class RunBatchWriter:
    """Writes runs in batches. `limit`: waiting runs per app."""

    def __init__(self, db: Database, limit: int, publisher: ReadyPublisher, disk: Disk | None = None) -> None:
        self._db, self._limit, self._publisher, self._disk = db, limit, publisher, disk
        self._quota = QueuedRunQuotaCache()
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
        """The fast path: one INSERT statement (with SQLite, one for each table), no reads."""
        try:
            submitted = [start_run(request.run, now, request.callback) for request in requests]
            reserved = self._reserve_dispatch(submitted)
            async with self._db.write(single_statement=self._db.shared) as conn:
                await insert_runs(conn, submitted, {ready_task.task: now for ready_task in reserved})
        finally:
            self._unfinished -= len(requests)
        self._publisher.publish_soon(reserved)
        return submitted

    async def _insert_checked(self, requests: Sequence[SubmitRequest]) -> Sequence[Outcome]:
        async with self._db.write() as conn:
            remaining, now = await count_remaining(conn, requests, self._limit)
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
