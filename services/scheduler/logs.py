"""The logs of a run's stages, read from the databox: as one text, or as server-sent events that can be resumed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson

from libs.common.errors import Malformed, NotFound
from services.scheduler import bells, pipeline
from services.scheduler.db import runs as rows
from services.scheduler.db import tasks
from services.scheduler.parts import Parts
from services.scheduler.state import OPEN, Run, Task

CHUNK = 65536
LOOK_AGAIN_S = 1.0
KEEP_ALIVE = b": waiting\n\n"


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
    stage, _, rest = last_event_id.partition(":")
    attempt, _, offset = rest.partition(":")
    if not (stage and attempt.isdigit() and offset.isdigit()):
        raise Malformed("Last-Event-ID: not an id of this stream")
    return Place(stage, int(attempt), int(offset))


async def text(parts: Parts, run: Run, stage: str | None) -> AsyncIterator[bytes]:
    """All attempts in order; a line before each tells them apart when there are several."""
    pieces = await _attempts(parts, run, stage)
    for task, attempt in pieces:
        if len(pieces) > 1:
            yield f"--- {task.name}, attempt {attempt} ---\n".encode()
        async for _, data in _read(parts, run, task.name, attempt, 0, follow=False):
            yield data


async def _attempts(parts: Parts, run: Run, stage: str | None) -> list[tuple[Task, int]]:
    async with parts.db.read() as c:
        stages = {task.id: task for task in await tasks.of_run(c, run.id) if stage in (None, task.name)}
        found = await tasks.attempts_of(c, stages)
    return [(stages[row["task"]], row["attempt"]) for row in found]


async def _read(
    parts: Parts, run: Run, stage: str, attempt: int, offset: int, *, follow: bool
) -> AsyncIterator[tuple[int, bytes]]:
    """Pieces with the offset after each."""
    path = f"/internal/apps/{run.app}/logs/{pipeline.log_name(run.id, stage, attempt)}"
    try:
        async with parts.peers.databox.stream("GET", path, params={"offset": offset, "follow": int(follow)}) as answer:
            async for data in answer.content.iter_chunked(CHUNK):
                offset += len(data)
                yield offset, data
    except NotFound:
        return


async def events(parts: Parts, run: Run, stage: str | None, since: Place | None) -> AsyncIterator[bytes]:
    """One event a piece of log, attempt after attempt, until the run has ended and everything was sent."""
    sent: dict[tuple[str, int], int] = {}
    passed = since is None
    with parts.bells.listen(bells.run(run.id)) as bell:
        while not parts.bells.closed:
            current = await _current(parts, run)
            for task, attempt in await _attempts(parts, run, stage):
                if not passed and since is not None:
                    passed = (task.name, attempt) == (since.stage, since.attempt)
                    sent[task.name, attempt] = since.offset if passed else -1
                if sent.get((task.name, attempt), 0) < 0:
                    continue
                live = task.state in OPEN and attempt == task.attempt
                begun = sent.get((task.name, attempt), 0)
                async for offset, data in _read(parts, run, task.name, attempt, begun, follow=live):
                    sent[task.name, attempt] = offset
                    yield event(Place(task.name, attempt, offset), data)
                if not live:
                    sent[task.name, attempt] = -1
            if current.ended:
                yield b"event: end\ndata: " + orjson.dumps({"status": current.status}) + b"\n\n"
                return
            if not await bell.wait(LOOK_AGAIN_S):
                yield KEEP_ALIVE


async def _current(parts: Parts, run: Run) -> Run:
    async with parts.db.read() as c:
        return await rows.get(c, run.app, run.id) or run


def event(place: Place, data: bytes) -> bytes:
    text = data.decode(errors="replace").rstrip("\n")
    lines = "".join(f"data: {line}\n" for line in text.split("\n"))
    return f"id: {place}\nevent: log\n{lines}\n".encode()
