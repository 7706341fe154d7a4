"""Logs of runs (as one text, or a byte range of an attempt) and of instances, read from databox."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from libs.common.db import Database
from libs.common.errors import NotFound
from libs.common.http.client import ServiceClient
from libs.common.http.ranges import RangeDecision, Span, decide_range
from services.scheduler.db import tasks
from services.scheduler.long_poll_notifier import LongPollNotifier
from services.scheduler.model.run import Run
from services.scheduler.model.task import Task
from services.scheduler.plans import planner

CHUNK_BYTES = 65536
POLL_S = 1.0
LOG_WAIT_S = 5.0
"""How long one read waits for a log to grow before the task's state is read again."""
TaskAttempt = tuple[Task, int]


async def stream_text(db: Database, databox: ServiceClient, run: Run, stage: str | None) -> AsyncIterator[bytes]:
    """All attempts in order, each under a heading line when there are several."""
    attempts = await list_attempts(db, run, stage)
    for task, attempt in attempts:
        if len(attempts) > 1:
            yield f"--- {task.name}, attempt {attempt} ---\n".encode()
        async for data in stream_log(databox, run.app, planner.log_name(run.id, task.name, attempt), 0):
            yield data


@dataclass(frozen=True)
class LogRange:
    """The requested range of one attempt's log."""

    decision: RangeDecision
    size: int
    content: AsyncIterator[bytes]


async def open_range(
    db: Database, databox: ServiceClient, run: Run, stage: str | None, attempt: int | None, headers: Mapping[str, str]
) -> LogRange:
    """The range of the given attempt, else of the last started one. Raises NotFound."""
    attempts = [(task, number) for task, number in await list_attempts(db, run, stage) if attempt in (None, number)]
    if not attempts:
        raise NotFound("no such attempt has started")
    task, number = attempts[-1]
    name = planner.log_name(run.id, task.name, number)
    size = await log_size(databox, run.app, name)
    decision = decide_range(headers, f"{run.id}-{task.name}-{number}-{size}", size)
    return LogRange(decision, size, _stream_span(databox, run.app, name, decision.span))


async def _stream_span(databox: ServiceClient, app: str, name: str, span: Span) -> AsyncIterator[bytes]:
    remaining = span.length
    async for data in stream_log(databox, app, name, span.start):
        yield data[:remaining]
        remaining -= len(data)
        if remaining <= 0:
            return


async def log_size(databox: ServiceClient, app: str, name: str) -> int:
    path, params = f"/internal/apps/{app}/logs/{name}", {"offset": 1 << 60}
    try:
        async with databox.stream("GET", path, params=params) as response:
            return int(response.headers["X-Mlmesh-Log-Size"])
    except NotFound:
        return 0


async def list_attempts(db: Database, run: Run, stage: str | None) -> list[TaskAttempt]:
    async with db.read() as conn:
        stages = {task.id: task for task in await tasks.list_by_run(conn, run.id) if stage in (None, task.name)}
        attempts = await tasks.list_attempts(conn, stages)
    return visible_attempts([(stages[task], number) for task, number in attempts])


def visible_attempts(attempts: Iterable[TaskAttempt]) -> list[TaskAttempt]:
    """Without attempts that started after their tasks were read; the next read returns them."""
    return [(task, attempt) for task, attempt in attempts if attempt <= task.attempt]


async def stream_log(
    databox: ServiceClient, app: str, name: str, offset: int, wait: float = 0.0
) -> AsyncIterator[bytes]:
    try:
        path, params = f"/internal/apps/{app}/logs/{name}", {"offset": offset, "wait": wait}
        async with databox.stream("GET", path, params=params) as response:
            async for data in response.content.iter_chunked(CHUNK_BYTES):
                yield data
    except NotFound:
        return


async def tail_instance_log(
    db: Database, databox: ServiceClient, notifier: LongPollNotifier, task: Task, *, follow: bool
) -> AsyncIterator[bytes]:
    """The log of an instance's newest attempt; with `follow`, until that attempt ends."""
    name = planner.instance_log_name(task)
    async for data in _tail_log(db, databox, notifier, LogOfTask(task.app, name, task.id, task.attempt), follow=follow):
        yield data


async def tail_build_log(
    db: Database, databox: ServiceClient, notifier: LongPollNotifier, app: str, name: str, *, follow: bool
) -> AsyncIterator[bytes]:
    """The log of a build, by its name; with `follow`, until its attempt ends."""
    _, task, attempt = name.split("/")
    async for data in _tail_log(db, databox, notifier, LogOfTask(app, name, task, int(attempt)), follow=follow):
        yield data


class LogOfTask(NamedTuple):
    """The log of one attempt of a task."""

    app: str
    name: str
    task: str
    attempt: int


async def _tail_log(
    db: Database, databox: ServiceClient, notifier: LongPollNotifier, log: LogOfTask, *, follow: bool
) -> AsyncIterator[bytes]:
    offset, live = 0, follow
    while True:
        started, previous_offset = time.monotonic(), offset
        async for data in stream_log(databox, log.app, log.name, offset, LOG_WAIT_S if live else 0.0):
            offset += len(data)
            yield data
        if not live or notifier.closed:
            return
        async with db.read() as conn:
            current = await tasks.get(conn, log.task, lock=False)
        live = current is not None and current.is_open and current.attempt == log.attempt
        if live and offset == previous_offset:
            await asyncio.sleep(max(0.0, POLL_S - (time.monotonic() - started)))
