"""Logs, read from the databox: a run's as one text, or as server-sent events that can be resumed; an instance's."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace

import orjson

from libs.common.errors import Malformed, NotFound
from libs.common.http.ranges import Plan, Span, plan
from services.scheduler import notifications
from services.scheduler.db import runs as rows
from services.scheduler.db import tasks
from services.scheduler.dependencies import Parts
from services.scheduler.model.run import Run
from services.scheduler.model.task import OPEN_STATES, Task
from services.scheduler.plans import planner

CHUNK = 65536
LOOK_AGAIN_S = 1.0
WAIT_S = 5.0
"""How long one read waits for a log to grow before the task's state is looked at again."""
KEEP_ALIVE = b": waiting\n\n"
EVENT = re.compile(r"(?P<stage>[^:]+):(?P<attempt>[0-9]{1,9}):(?P<offset>[0-9]{1,15})")
NO_EVENT = "Last-Event-ID: not an id of this stream; start again without it"
Attempt = tuple[Task, int]


@dataclass(frozen=True)
class Place:
    """A position in a run's logs; events carry it as `stage:attempt:offset`."""

    stage: str
    attempt: int
    offset: int

    def __str__(self) -> str:
        return f"{self.stage}:{self.attempt}:{self.offset}"


def resumed(last_event_id: str | None) -> Place | None:
    if not last_event_id:
        return None
    found = EVENT.fullmatch(last_event_id)
    if found is None:
        raise Malformed(NO_EVENT)
    return Place(found["stage"], int(found["attempt"]), int(found["offset"]))


async def resumed_in(parts: Parts, run: Run, last_event_id: str | None) -> Place | None:
    """Where a reader goes on. Raises Malformed for what is no place in the run's logs."""
    place = resumed(last_event_id)
    if place is not None and not await _is_in(parts, run, place):
        raise Malformed(NO_EVENT)
    return place


async def _is_in(parts: Parts, run: Run, place: Place) -> bool:
    begun = [(task.name, attempt) for task, attempt in await _attempts(parts, run, place.stage)]
    if (place.stage, place.attempt) not in begun:
        return False
    name = planner.log_name(run.id, place.stage, place.attempt)
    return place.offset <= await _size(parts, run.app, name)


@dataclass
class Followed:
    """What a reader has of one attempt's log. Only whole lines are passed on: a character is never cut."""

    place: Place
    over: bool = False
    _rest: bytes = b""

    @property
    def read(self) -> int:
        return self.place.offset + len(self._rest)

    def lines(self, data: bytes = b"", *, last: bool = False) -> bytes:
        """What can be passed on now that `data` came; `last`: nothing follows it."""
        self._rest += data
        cut = max(self._rest.rfind(b"\n"), self._rest.rfind(b"\r")) + 1  # progress bars end no line
        if last or (not cut and len(self._rest) > CHUNK):
            cut = len(self._rest)
        found, self._rest = self._rest[:cut], self._rest[cut:]
        self.place = replace(self.place, offset=self.place.offset + cut)
        return found


@dataclass
class Reader:
    """All attempts that a reader has seen; those before the place it resumes from are over for it."""

    since: Place | None
    seen: dict[tuple[str, int], Followed] = field(default_factory=dict)

    def of(self, stage: str, attempt: int) -> Followed:
        if (stage, attempt) not in self.seen:
            here = self.since is not None and (stage, attempt) == (self.since.stage, self.since.attempt)
            place = self.since if here and self.since else Place(stage, attempt, 0)
            self.seen[stage, attempt] = Followed(place, over=self.since is not None and not here)
            if here:
                self.since = None
        return self.seen[stage, attempt]


async def text(parts: Parts, run: Run, stage: str | None) -> AsyncIterator[bytes]:
    """All attempts in order; a line before each tells them apart when there are several."""
    pieces = await _attempts(parts, run, stage)
    for task, attempt in pieces:
        if len(pieces) > 1:
            yield f"--- {task.name}, attempt {attempt} ---\n".encode()
        async for data in _read(parts, run.app, planner.log_name(run.id, task.name, attempt), 0):
            yield data


@dataclass(frozen=True)
class Part:
    """What of one attempt's log is asked for."""

    plan: Plan
    size: int
    content: AsyncIterator[bytes]


async def part(parts: Parts, run: Run, stage: str | None, attempt: int | None, headers: Mapping[str, str]) -> Part:
    """Of the attempt named, else of the last one that has begun. Raises NotFound."""
    found = [(task, number) for task, number in await _attempts(parts, run, stage) if attempt in (None, number)]
    if not found:
        raise NotFound("no such attempt has begun")
    task, number = found[-1]
    name = planner.log_name(run.id, task.name, number)
    size = await _size(parts, run.app, name)
    wanted = plan(headers, f"{run.id}-{task.name}-{number}-{size}", size)
    return Part(wanted, size, _span(parts, run.app, name, wanted.span))


async def _span(parts: Parts, app: str, name: str, span: Span) -> AsyncIterator[bytes]:
    left = span.length
    async for data in _read(parts, app, name, span.start):
        yield data[:left]
        left -= len(data)
        if left <= 0:
            return


async def _size(parts: Parts, app: str, name: str) -> int:
    path, beyond = f"/internal/apps/{app}/logs/{name}", {"offset": 1 << 60}
    try:
        async with parts.peers.databox.stream("GET", path, params=beyond) as answer:
            return int(answer.headers["X-Mlmesh-Log-Size"])
    except NotFound:
        return 0


async def _attempts(parts: Parts, run: Run, stage: str | None) -> list[Attempt]:
    async with parts.db.read() as c:
        stages = {task.id: task for task in await tasks.list_by_run(c, run.id) if stage in (None, task.name)}
        found = await tasks.list_attempts(c, stages)
    return known([(stages[row["task"]], row["attempt"]) for row in found])


def known(found: Iterable[Attempt]) -> list[Attempt]:
    """Without those that began after their tasks were read, which say nothing of them yet: the next look has them."""
    return [(task, attempt) for task, attempt in found if attempt <= task.attempt]


async def _read(parts: Parts, app: str, name: str, offset: int, wait: float = 0.0) -> AsyncIterator[bytes]:
    try:
        path, params = f"/internal/apps/{app}/logs/{name}", {"offset": offset, "wait": wait}
        async with parts.peers.databox.stream("GET", path, params=params) as answer:
            async for data in answer.content.iter_chunked(CHUNK):
                yield data
    except NotFound:
        return


async def events(parts: Parts, run: Run, stage: str | None, since: Place | None) -> AsyncIterator[bytes]:
    """One event a piece of log, attempt after attempt, until the run has ended and everything was sent."""
    reader = Reader(since)
    with parts.bells.listen(notifications.run(run.id)) as bell:
        while not parts.bells.closed:
            silent = True
            current = await _current(parts, run)
            attempts = await _attempts(parts, run, stage)
            async for piece in _news(parts, run, attempts, reader):
                silent = False
                yield piece
            if current.is_final:
                yield b"event: end\ndata: " + orjson.dumps({"status": current.status}) + b"\n\n"
                return
            if silent:
                yield KEEP_ALIVE
                await _something(parts, run, attempts, reader, bell)


async def _news(parts: Parts, run: Run, attempts: list[Attempt], reader: Reader) -> AsyncIterator[bytes]:
    """What has come since the last look."""
    for task, attempt in attempts:
        followed = reader.of(task.name, attempt)
        if followed.over:
            continue
        name = planner.log_name(run.id, task.name, attempt)
        async for data in _read(parts, run.app, name, followed.read):
            if lines := followed.lines(data):
                yield event(followed.place, lines)
        if not _grows(task, attempt):
            followed.over = True
            if lines := followed.lines(last=True):
                yield event(followed.place, lines)


async def _something(parts: Parts, run: Run, attempts: list[Attempt], reader: Reader, bell: notifications.Bell) -> None:
    """Until any of the logs has grown, or the run has changed; not for ever."""
    looks = [asyncio.create_task(_rung(bell))]
    for task, attempt in attempts:
        if _grows(task, attempt):
            name, read = planner.log_name(run.id, task.name, attempt), reader.of(task.name, attempt).read
            looks.append(asyncio.create_task(_grown(parts, run.app, name, read)))
    try:
        await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)


async def _grown(parts: Parts, app: str, name: str, offset: int) -> None:
    async for _ in _read(parts, app, name, offset, WAIT_S):
        return
    await asyncio.sleep(WAIT_S)  # its end, or an error, is told by the run


async def _rung(bell: notifications.Bell) -> None:
    await bell.wait(WAIT_S)


def _grows(task: Task, attempt: int) -> bool:
    return task.state in OPEN_STATES and attempt == task.attempt


async def of_instance(parts: Parts, task: Task, *, follow: bool) -> AsyncIterator[bytes]:
    """The log of an instance's newest attempt; with `follow`, until that attempt is over."""
    offset, live = 0, follow
    while True:
        began, before = time.monotonic(), offset
        async for data in _read(parts, task.app, planner.instance_log_name(task), offset, WAIT_S if live else 0.0):
            offset += len(data)
            yield data
        if not live or parts.bells.closed:
            return
        async with parts.db.read() as c:
            now = await tasks.get(c, task.id, lock=False)
        live = now is not None and now.is_open and now.attempt == task.attempt
        if live and offset == before:
            await asyncio.sleep(max(0.0, LOOK_AGAIN_S - (time.monotonic() - began)))


async def _current(parts: Parts, run: Run) -> Run:
    async with parts.db.read() as c:
        return await rows.get(c, run.app, run.id) or run


def event(place: Place, data: bytes) -> bytes:
    text = data.decode(errors="replace").removesuffix("\n")
    lines = "".join(f"data: {line}\n" for line in re.split("\r?\n|\r", text))
    return f"id: {place}\nevent: log\n{lines}\n".encode()
