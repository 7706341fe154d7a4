"""The values that the scheduler decides about: tasks, runs, rollouts, apps. Frozen copies of rows.

A task is one container's worth of work, of kind `stage` (it ends) or `instance` (it serves while it is wanted):

    waiting ──▶ ready ──▶ claimed ──▶ publishing ──▶ succeeded     waiting: for inputs, a model, the end of a back-off
       ▲          ▲          │                                     ready: a worker may claim it
       └──────────┴──────────┴──▶ failed · canceled · skipped · stopped
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

TaskKind = Literal["stage", "instance"]
TaskState = Literal[
    "waiting", "ready", "claimed", "publishing", "succeeded", "failed", "canceled", "skipped", "stopped"
]
RunStatus = Literal["queued", "running", "succeeded", "failed", "canceling", "canceled", "expired"]
RolloutStatus = Literal["starting", "live", "failed", "superseded"]

OPEN_STATES: frozenset[TaskState] = frozenset({"waiting", "ready", "claimed", "publishing"})
CLAIMED_STATES: frozenset[TaskState] = frozenset({"claimed", "publishing"})
FAILED_STATES: frozenset[TaskState] = frozenset({"failed", "canceled"})
"""States of a stage that halt its run."""
FINAL_STATUSES: frozenset[RunStatus] = frozenset({"succeeded", "failed", "canceled", "expired"})
WORKER_ALIVE_S = 60.0
"""A worker that was heard within this counts as being there."""

Reason = dict[str, Any]
"""`code`, `detail`, and for failures `exit_code`, `signal`, `log_tail`: machine-readable, and shown to people."""


QueueEntry = tuple[str, str]
"""A run that waits, and the resource class that it waits for."""


def reason(code: str, detail: str = "", **details: Any) -> Reason:
    return {"code": code, "detail": detail, **{key: value for key, value in details.items() if value is not None}}


@dataclass(frozen=True, kw_only=True)
class Task:
    id: str
    kind: TaskKind
    app: str
    name: str
    """The stage's or component's."""
    state: TaskState
    created_at: float
    spec: dict[str, Any] = field(default_factory=dict)
    """What an instance is to be; what a stage is to do is in the plan of its run."""
    run: str | None = None
    replica: int = 0
    fingerprint: str = ""
    """Instances with one fingerprint are the same: same manifest, commit and secret values."""
    resource_class: str = "cpu"
    priority: int = 0
    reason: Reason | None = None
    attempt: int = 0
    lost: int = 0
    """How often a worker vanished with it."""
    failures: int = 0
    """Failures since it was last healthy (instance) or in this attempt of the run (stage)."""
    token: int = 0
    """Fencing token: grows with every claim."""
    worker: str | None = None
    lease_until: float | None = None
    not_before: float | None = None
    rung_at: float | None = None
    stop: bool = False
    stop_after: float | None = None
    phase: str | None = None
    """What the worker last said of it, such as `pulling`, `running`, `healthy`."""
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
    """A ready task that somebody is told of."""

    task: str
    resource_class: str


class ClaimCandidate(NamedTuple):
    """A ready task in the line."""

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


@dataclass(frozen=True, kw_only=True)
class Run:
    id: str
    app: str
    pipeline: str
    user: str
    status: RunStatus
    plan: dict[str, Any]
    created_at: float
    reason: Reason | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    priority: int = 0
    attempt: int = 1
    version: int = 1
    """Grows with every change that a caller can see: the ETag."""
    deadline: float = math.inf
    """When it must have begun, or must have ended."""
    chain: str | None = None
    """The run that a chain of runs began with, for itself, too; None when it is alone."""
    position: int | None = None
    """Its place in the chain; None when an attempt of the chain before this one had it there."""
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES

    def get_stage(self, task: Task) -> dict[str, Any]:
        """What one of its tasks is to do."""
        stage: dict[str, Any] = self.plan["stages"][task.replica]
        return stage

    @property
    def is_chain_head(self) -> bool:
        """Whether other runs continue it, and it ends with the last of them."""
        return self.chain == self.id


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A pipeline that starts by itself."""

    app: str
    pipeline: str
    spec: dict[str, Any]
    """As in the manifest."""
    paused: bool = False
    next_at: float | None = None
    last_at: float | None = None
    last_run: str | None = None
    problem: str | None = None
    """Why nothing was started the last time."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    deployment: str
    app: str
    commit: str
    status: RolloutStatus
    catalog: dict[str, Any]
    created_at: float
    steps: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    reported: bool = False


@dataclass(frozen=True, kw_only=True)
class App:
    name: str
    deployment: str | None = None
    """The live one."""
    commit: str = ""
    catalog: dict[str, Any] | None = None
    access: dict[str, Any] = field(default_factory=dict)
    """`users` {secret: {user: hash}}, `keys` {sha256: user}, `secrets` {name: version}."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    name: str
    host: str
    classes: list[str]
    slots: int
    free: int
    labels: dict[str, str]
    draining: bool
    seen_at: float

    def is_alive(self, now: float) -> bool:
        """Whether it was heard of lately."""
        return now - self.seen_at < WORKER_ALIVE_S
