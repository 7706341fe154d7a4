"""A run's logs as server-sent events that can be resumed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import orjson

from libs.common.db import Database
from libs.common.errors import Malformed
from libs.common.http.client import ServiceClient
from services.scheduler import long_poll_notifier
from services.scheduler.db import runs as run_rows
from services.scheduler.long_poll_notifier import LongPollNotifier
from services.scheduler.model.run import Run
from services.scheduler.model.task import OPEN_STATES, Task
from services.scheduler.plans import planner
from services.scheduler.runs.log_reader import CHUNK_BYTES, LOG_WAIT_S, TaskAttempt, list_attempts, log_size, stream_log

KEEP_ALIVE = b": waiting\n\n"
EVENT_ID = re.compile(r"(?P<stage>[^:]+):(?P<attempt>[0-9]{1,9}):(?P<offset>[0-9]{1,15})")
BAD_EVENT_ID = "Last-Event-ID: not an id of this stream; start again without it"


@dataclass(frozen=True)
class LogCursor:
    """A position in a run's logs; events carry it as `stage:attempt:offset`."""

    stage: str
    attempt: int
    offset: int

    def __str__(self) -> str:
        return f"{self.stage}:{self.attempt}:{self.offset}"


def parse_last_event_id(last_event_id: str | None) -> LogCursor | None:
    if not last_event_id:
        return None
    match = EVENT_ID.fullmatch(last_event_id)
    if match is None:
        raise Malformed(BAD_EVENT_ID)
    return LogCursor(match["stage"], int(match["attempt"]), int(match["offset"]))


async def resolve_cursor(db: Database, databox: ServiceClient, run: Run, last_event_id: str | None) -> LogCursor | None:
    """The position to resume from. Raises Malformed when it does not exist in the run's logs."""
    cursor = parse_last_event_id(last_event_id)
    if cursor is not None and not await _cursor_exists(db, databox, run, cursor):
        raise Malformed(BAD_EVENT_ID)
    return cursor


async def _cursor_exists(db: Database, databox: ServiceClient, run: Run, cursor: LogCursor) -> bool:
    started = [(task.name, attempt) for task, attempt in await list_attempts(db, run, cursor.stage)]
    if (cursor.stage, cursor.attempt) not in started:
        return False
    name = planner.log_name(run.id, cursor.stage, cursor.attempt)
    return cursor.offset <= await log_size(databox, run.app, name)


@dataclass
class AttemptFollower:
    """Progress of a reader through one attempt's log. Only complete lines are sent, so no character is cut."""

    cursor: LogCursor
    finished: bool = False
    _partial: bytes = b""

    @property
    def read_offset(self) -> int:
        return self.cursor.offset + len(self._partial)

    def take_lines(self, data: bytes = b"", *, at_end: bool = False) -> bytes:
        """The complete lines after `data` was read; `at_end`: the remainder, too."""
        self._partial += data
        cut = max(self._partial.rfind(b"\n"), self._partial.rfind(b"\r")) + 1  # progress bars use \r
        if at_end or (not cut and len(self._partial) > CHUNK_BYTES):
            cut = len(self._partial)
        lines, self._partial = self._partial[:cut], self._partial[cut:]
        self.cursor = replace(self.cursor, offset=self.cursor.offset + cut)
        return lines


@dataclass
class RunLogFollower:
    """The followers of all attempts; attempts before the resume position are finished."""

    resume_from: LogCursor | None
    followers: dict[tuple[str, int], AttemptFollower] = field(default_factory=dict)

    def follower_for(self, stage: str, attempt: int) -> AttemptFollower:
        if (stage, attempt) not in self.followers:
            resumes_here = self.resume_from is not None and (stage, attempt) == (
                self.resume_from.stage,
                self.resume_from.attempt,
            )
            cursor = self.resume_from if resumes_here and self.resume_from else LogCursor(stage, attempt, 0)
            self.followers[stage, attempt] = AttemptFollower(
                cursor, finished=self.resume_from is not None and not resumes_here
            )
            if resumes_here:
                self.resume_from = None
        return self.followers[stage, attempt]


async def stream_events(
    db: Database,
    databox: ServiceClient,
    notifier: LongPollNotifier,
    run: Run,
    stage: str | None,
    since: LogCursor | None,
) -> AsyncIterator[bytes]:
    """One event per piece of log, attempt after attempt, until the run has ended and everything is sent."""
    run_follower = RunLogFollower(since)
    with notifier.subscribe(long_poll_notifier.run_changed(run.id)) as subscription:
        while not notifier.closed:
            is_idle = True
            current = await _reload_run(db, run)
            attempts = await list_attempts(db, run, stage)
            async for piece in _new_events(databox, run, attempts, run_follower):
                is_idle = False
                yield piece
            if current.is_final:
                yield b"event: end\ndata: " + orjson.dumps({"status": current.status}) + b"\n\n"
                return
            if is_idle:
                yield KEEP_ALIVE
                await _wait_for_change(databox, run, attempts, run_follower, subscription)


async def _new_events(
    databox: ServiceClient, run: Run, attempts: list[TaskAttempt], run_follower: RunLogFollower
) -> AsyncIterator[bytes]:
    """Events for what the logs gained since the last read."""
    for task, attempt in attempts:
        follower = run_follower.follower_for(task.name, attempt)
        if follower.finished:
            continue
        name = planner.log_name(run.id, task.name, attempt)
        async for data in stream_log(databox, run.app, name, follower.read_offset):
            if lines := follower.take_lines(data):
                yield log_event(follower.cursor, lines)
        if not _can_grow(task, attempt):
            follower.finished = True
            if lines := follower.take_lines(at_end=True):
                yield log_event(follower.cursor, lines)


async def _wait_for_change(
    databox: ServiceClient,
    run: Run,
    attempts: list[TaskAttempt],
    run_follower: RunLogFollower,
    subscription: long_poll_notifier.Subscription,
) -> None:
    """Wait until a log grows or the run changes, at most LOG_WAIT_S."""
    waits = [asyncio.create_task(_wait_for_notification(subscription))]
    for task, attempt in attempts:
        if _can_grow(task, attempt):
            name, read = (
                planner.log_name(run.id, task.name, attempt),
                run_follower.follower_for(task.name, attempt).read_offset,
            )
            waits.append(asyncio.create_task(_wait_for_growth(databox, run.app, name, read)))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _wait_for_growth(databox: ServiceClient, app: str, name: str, offset: int) -> None:
    async for _ in stream_log(databox, app, name, offset, LOG_WAIT_S):
        return
    await asyncio.sleep(LOG_WAIT_S)  # the log ended or failed: a change of the run wakes the reader


async def _wait_for_notification(subscription: long_poll_notifier.Subscription) -> None:
    await subscription.wait(LOG_WAIT_S)


def _can_grow(task: Task, attempt: int) -> bool:
    return task.state in OPEN_STATES and attempt == task.attempt


async def _reload_run(db: Database, run: Run) -> Run:
    async with db.read() as conn:
        return await run_rows.get(conn, run.app, run.id) or run


def log_event(cursor: LogCursor, data: bytes) -> bytes:
    text = data.decode(errors="replace").removesuffix("\n")
    lines = "".join(f"data: {line}\n" for line in re.split("\r?\n|\r", text))
    return f"id: {cursor}\nevent: log\n{lines}\n".encode()
