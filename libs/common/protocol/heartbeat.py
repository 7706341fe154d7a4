"""What a worker holds and the orders it gets: `POST /internal/workers/{worker}/sync`, long-polled."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import AliasChoices, Field, FiniteFloat

from libs.common.http.tolerant_list import StorableObject, TolerantList
from libs.common.protocol.claim import FIRST_KINDS, MAX_ENGINE
from libs.common.protocol.message import FencingToken, Message, TaskId


class InstanceEndpoint(Message):
    """Where an instance answers."""

    host: str = Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9.:_%-]+$")
    port: int = Field(ge=1, le=65535)


class TaskStatus(Message):
    """What a worker knows of one task that it holds."""

    task: TaskId
    token: FencingToken
    state: str = Field(pattern=r"^[a-z_]{1,16}$")
    """staging, pulling, starting, running, healthy, unhealthy, uploading or stopping."""
    detail: str | None = None
    progress: tuple[FiniteFloat, FiniteFloat] | None = None
    """Done and all, of a stage."""
    endpoint: InstanceEndpoint | None = None
    openapi: StorableObject | None = None
    """An instance's own description, with the first `healthy`: at most 1 MB, 100 deep."""


class Heartbeat(Message):
    """Renews the lease of each of `tasks` whose token is current."""

    host: str = ""
    classes: tuple[str, ...] = ("cpu",)
    kinds: tuple[str, ...] = FIRST_KINDS
    """Kinds of tasks that it takes; `image` and `build` only with an engine."""
    engine: str | None = Field(default=None, max_length=MAX_ENGINE)
    """Identifies its Docker Engine, as long as that keeps its data."""
    slots: int = 0
    free: int = 0
    labels: Mapping[str, str] = Field(default_factory=dict)
    draining: bool = False
    memory_low: bool = False
    """Its host has little free memory: instances that only wait for a rollback stop."""
    wait: float = 0.0
    """Seconds that the answer may wait for an order."""
    tasks: TolerantList[TaskStatus] = Field(
        default=(), validation_alias=AliasChoices("tasks", "have"), serialization_alias="have"
    )
    """What it holds."""


class TaskRef(Message):
    """A task under one lease."""

    task: str
    token: int


class HeartbeatResponse(Message):
    """Orders of the scheduler."""

    lease_seconds: float
    drain: bool = False
    """Take no new task; hand back stages that have not started."""
    stop: TolerantList[TaskRef] = ()
    """End these and report `canceled` or `stopped`; repeated until reported."""
    revoked: TolerantList[TaskRef] = Field(
        default=(), validation_alias=AliasChoices("revoked", "gone"), serialization_alias="gone"
    )
    """These leases are over: kill, clean up, report nothing."""
