"""How a worker asks for work: `POST /internal/claims`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AliasChoices, Field

from libs.common.protocol.message import FencingToken, Message, TaskId

MAX_WORKER_NAME = 128
TaskKind = Literal["stage", "instance"]


class ClaimRequest(Message):
    """A worker with free slots asks for the next ready task."""

    worker: str = Field(min_length=1, max_length=MAX_WORKER_NAME)
    classes: tuple[str, ...] = ("cpu",)
    """Resource classes that it serves."""
    free: int = 0
    """Slots for stages; an instance needs none."""


class Lease(Message):
    """The right to work on one task, until `lease_seconds` have passed without a heartbeat."""

    task: TaskId
    kind: str
    """`stage` or `instance`; a worker fails a task of a kind that it does not know."""
    attempt: int
    token: FencingToken
    """The fencing token: it grows with every claim of the task."""
    lease_seconds: float = 0.0
    app: str
    commit: str
    spec: Mapping[str, object]
    """A `StageSpec` or an `InstanceSpec`, as `kind` says; a worker fails a task of which it cannot read it."""


class ClaimResponse(Message):
    """The next task, which need not be the one that a message named; no lease: nothing is ready, or why not."""

    lease: Lease | None = None
    reason: Mapping[str, object] | None = None
    has_more: bool = Field(default=True, validation_alias=AliasChoices("has_more", "more"), serialization_alias="more")
    """Whether other tasks may be ready."""
