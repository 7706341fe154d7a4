"""Tasks: one container's worth of work, of kind `stage` (it ends) or `instance` (it serves until it is stopped).

waiting ──▶ ready ──▶ claimed ──▶ publishing ──▶ succeeded     waiting: for inputs, a model, the end of a back-off
   ▲          ▲          │                                     ready: a worker may claim it
   └──────────┴──────────┴──▶ failed · canceled · skipped · stopped
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from libs.common.protocol.claim import TaskKind
from services.scheduler.model.reason import Reason

TaskState = Literal[
    "waiting", "ready", "claimed", "publishing", "succeeded", "failed", "canceled", "skipped", "stopped"
]

OPEN_STATES: frozenset[TaskState] = frozenset({"waiting", "ready", "claimed", "publishing"})
FAILED_STATES: frozenset[TaskState] = frozenset({"failed", "canceled"})
"""States of a stage that halt its run."""


QueueEntry = tuple[str, str]
"""Run and resource class of a ready stage."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One stage of a run, or one instance of a component."""

    id: str
    kind: TaskKind
    app: str
    name: str
    """Name of the stage or component."""
    state: TaskState
    created_at: float
    spec: dict[str, Any] = field(default_factory=dict)
    """Specification of an instance; that of a stage is in the plan of its run."""
    run: str | None = None
    replica: int = 0
    fingerprint: str = ""
    """Hash of manifest, commit and secret versions: instances with equal fingerprints are interchangeable."""
    resource_class: str = "cpu"
    priority: int = 0
    reason: Reason | None = None
    attempt: int = 0
    lost_count: int = 0
    """How often its worker or engine was lost."""
    failures: int = 0
    """Failures since the instance was last healthy, or of the stage in this attempt of the run."""
    token: int = 0
    """Fencing token: incremented with every claim."""
    worker: str | None = None
    lease_until: float | None = None
    not_before: float | None = None
    dispatched_at: float | None = None
    stop_requested: bool = False
    stop_at: float | None = None
    phase: str | None = None
    """What the worker reported last, such as `pulling`, `running`, `healthy`."""
    detail: str | None = None
    progress: list[float] | None = None
    endpoint: dict[str, Any] | None = None
    openapi: dict[str, Any] | None = None
    log_tail: list[str] | None = None
    result: dict[str, Any] | None = None
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def ready_task(self) -> ReadyTask:
        return ReadyTask(self.id, self.resource_class)

    @property
    def is_healthy(self) -> bool:
        return self.state == "claimed" and self.phase == "healthy"


class ReadyTask(NamedTuple):
    """A ready task, as its message to workers names it."""

    task: str
    resource_class: str


class ClaimCandidate(NamedTuple):
    """A ready task that a worker may claim next."""

    task: str
    app: str
    run: str | None


class AttemptRef(NamedTuple):
    """One claim of a stage."""

    app: str
    run: str
    stage: str
    task: str
    token: int
