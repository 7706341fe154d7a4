"""How a worker asks for work: `POST /internal/claims`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AliasChoices, Field

from libs.common.protocol.message import FencingToken, Message, TaskId

MAX_WORKER_NAME = 128
MAX_ENGINE = 128
TaskKind = Literal["stage", "instance", "image", "build"]
FIRST_KINDS: tuple[TaskKind, ...] = ("stage", "instance")
"""Kinds that workers of every release take."""


class ClaimRequest(Message):
    """A worker with free slots asks for the next ready task."""

    worker: str = Field(min_length=1, max_length=MAX_WORKER_NAME)
    classes: tuple[str, ...] = ("cpu",)
    """Resource classes that it serves."""
    free: int = 0
    """Slots for stages; other tasks need none."""
    kinds: tuple[str, ...] = FIRST_KINDS
    """Kinds of tasks that it takes."""
    engine: str = Field(default="", max_length=MAX_ENGINE)
    """Its Docker Engine: of the images that were built, it runs those that this one has."""


class Lease(Message):
    """The right to work on one task, until `lease_seconds` have passed without a heartbeat."""

    task: TaskId
    kind: str
    """`stage`, `instance`, `image` or `build`; a worker fails a task of a kind that it does not know."""
    attempt: int
    token: FencingToken
    """The fencing token: it grows with every claim of the task."""
    lease_seconds: float = 0.0
    app: str
    commit: str
    spec: Mapping[str, object]
    """A `StageSpec`, `InstanceSpec`, `ImageSpec` or `BuildSpec`, as `kind` says.

    A worker fails a task whose spec it cannot read.
    """


class ClaimResponse(Message):
    """The next task, which need not be the one that a message named; no lease: nothing is ready, or why not."""

    lease: Lease | None = None
    reason: Mapping[str, object] | None = None
    has_more: bool = Field(default=True, validation_alias=AliasChoices("has_more", "more"), serialization_alias="more")
    """Whether other tasks may be ready."""
