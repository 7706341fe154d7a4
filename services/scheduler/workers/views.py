"""The JSON of workers and of queues, for operators. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.bus import DeadLetter, Queue
from libs.common.http.response_shapes import AppName, Time, response_shape
from libs.common.protocol.claim import TaskKind
from libs.common.times import iso_time
from services.scheduler.model.task import Task
from services.scheduler.model.worker import Worker


@response_shape
class HeldTaskJson(TypedDict):
    """A task that a worker has claimed."""

    id: str
    app: AppName
    kind: TaskKind
    name: str
    """Of the stage or the component; the end of an image's name."""
    run: str | None


@response_shape
class WorkerJson(TypedDict):
    """A worker as of its last heartbeat."""

    name: Annotated[str, Field(examples=["gpu-1"])]
    host: str
    classes: Annotated[list[str], Field(examples=[["cpu", "gpu"]])]
    """Resource classes of the tasks that it takes."""
    slots: int
    free: int
    """Slots in which nothing runs."""
    labels: dict[str, str]
    draining: bool
    """Whether it claims nothing."""
    alive: bool
    """Whether its last heartbeat is recent."""
    seen_at: Time
    tasks: list[HeldTaskJson]


@response_shape
class DrainJson(TypedDict):
    """Whether a worker is draining now."""

    name: str
    draining: bool


@response_shape
class QueueJson(TypedDict):
    """The ready tasks of one resource class."""

    name: Annotated[str, Field(examples=["task.ready.cpu"])]
    depth: int
    """How many tasks wait for a worker."""
    oldest: Time | None
    oldest_s: float | None
    """For how many seconds the oldest has waited."""
    dead: int
    """Messages that no worker could take."""


@response_shape
class DeadLetterJson(TypedDict):
    """A message that no receiver could take."""

    key: str
    reason: str
    body: str
    """The beginning of it."""


@response_shape
class RedriveJson(TypedDict):
    """How many dead letters are in the queue again."""

    name: str
    redriven: int


def worker_to_json(worker: Worker, held: Iterable[Task], now: float) -> WorkerJson:
    return {
        "name": worker.name,
        "host": worker.host,
        "classes": worker.classes,
        "slots": worker.slots,
        "free": worker.free,
        "labels": worker.labels,
        "draining": worker.draining,
        "alive": worker.is_alive(now),
        "seen_at": iso_time(worker.seen_at),
        "tasks": [
            {"id": task.id, "app": task.app, "kind": task.kind, "name": task.name, "run": task.run} for task in held
        ],
    }


def queue_to_json(
    queue: Queue, depth: Mapping[str, Any] | None, letters: Iterable[DeadLetter], now: float
) -> QueueJson:
    """`depth`: None when no task waits."""
    oldest = depth["oldest"] if depth else None
    return {
        "name": queue.name,
        "depth": depth["depth"] if depth else 0,
        "oldest": iso_time(oldest),
        "oldest_s": None if oldest is None else round(now - oldest, 1),
        "dead": sum(queue.accepts(letter.key) for letter in letters),
    }


def dead_letter_to_json(letter: DeadLetter) -> DeadLetterJson:
    return {"key": letter.key, "reason": letter.reason, "body": letter.body[:1000].decode(errors="replace")}
