"""Tasks: a worker's units of work. Kinds: `stage` (it ends), `instance` (it serves until it is stopped), `image` (it
finds out what a name means), `build` (it makes an image).

waiting ──▶ ready ──▶ claimed ──▶ publishing ──▶ succeeded     waiting: for inputs, a model, the end of a back-off
   ▲          ▲          │                                     ready: a worker may claim it
   └──────────┴──────────┴──▶ failed · canceled · skipped · stopped
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field

from libs.common.locations import Location
from libs.common.protocol.build import BuildSpec
from libs.common.protocol.claim import TaskKind
from libs.common.protocol.heartbeat import InstanceEndpoint
from libs.common.protocol.image import ImageSpec
from libs.common.protocol.instance import InstanceSpec
from services.scheduler.model.reason import Reason

TaskState = Literal[
    "waiting", "ready", "claimed", "publishing", "succeeded", "failed", "canceled", "skipped", "stopped"
]

OPEN_STATES: frozenset[TaskState] = frozenset({"waiting", "ready", "claimed", "publishing"})
FAILED_STATES: frozenset[TaskState] = frozenset({"failed", "canceled"})
"""States of a stage that halt its run."""


QueueEntry = tuple[str, str]
"""Run and resource class of a ready stage."""


class StoredInstanceSpec(InstanceSpec):
    """The specification of an instance in its row, without its token and its log, which the claim adds."""

    restart_requested: bool = Field(default=False, alias="anew")
    """Whether an equal instance is to replace it."""

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


@dataclass(frozen=True)
class ReusedAttempt:
    """The attempt from which the stage cache took the outputs."""

    run: str
    stage: str
    token: int
    user: str | None = None


@dataclass(frozen=True)
class CachedOutputs:
    """An entry of the stage cache."""

    attempt: ReusedAttempt
    outputs: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What a worker reported of an attempt that ended."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    """By variable: `files`, `bytes`, `sha256`."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] | None = None
    """The component's response, of a prediction."""
    reused: ReusedAttempt | None = None
    image: str | None = None
    """The exact image, of a task of kind `image` or `build`."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        reused = document.get("reused")
        return cls(
            outputs=document.get("outputs") or {},
            usage=document.get("usage") or {},
            answer=document.get("answer"),
            reused=ReusedAttempt(**reused) if reused else None,
            image=document.get("image"),
        )

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"outputs": self.outputs, "usage": self.usage, "answer": self.answer}
        if self.image is not None:
            document["image"] = self.image
        return {**document, "reused": vars(self.reused)} if self.reused else document


@dataclass(frozen=True, kw_only=True)
class Task:
    """One stage of a run, one instance of a component, or one image of a deployment."""

    id: str
    kind: TaskKind
    app: str
    name: str
    """Name of the stage or component; the end of an image's name."""
    state: TaskState
    created_at: float
    spec: StoredInstanceSpec | ImageSpec | BuildSpec | None = None
    """What a stage does is in the plan of its run. Queries for heartbeats leave it out."""
    run: str | None = None
    replica: int = 0
    fingerprint: str = ""
    """Hash of manifest, commit and secret versions: instances with equal fingerprints are interchangeable.

    Of an image: of its name and its credentials; of a build: its key.
    """
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
    endpoint: InstanceEndpoint | None = None
    openapi: dict[str, object] | None = None
    log_tail: list[str] | None = None
    image: str | None = None
    """The id of the image that a stage or instance runs: if it was built, only workers whose engine has it claim it."""
    result: TaskResult | None = None
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def instance_spec(self) -> StoredInstanceSpec | None:
        return self.spec if isinstance(self.spec, StoredInstanceSpec) else None

    @property
    def model(self) -> Location | None:
        """The model that an instance needs before it starts."""
        return self.instance_spec.model if self.instance_spec is not None else None

    @property
    def ready_task(self) -> ReadyTask:
        return ReadyTask(self.id, self.resource_class)

    @property
    def is_healthy(self) -> bool:
        return self.state == "claimed" and self.phase == "healthy"


def get_image_id(image: str | None) -> str | None:
    """The image if it is the id of one on an engine, not the name of one in a registry."""
    return image if image is not None and image.startswith("sha256:") else None


class ReadyTask(NamedTuple):
    """A ready task, as its message to workers names it."""

    task: str
    resource_class: str


class ClaimCandidate(NamedTuple):
    """A ready task that a worker may claim next."""

    task: str
    app: str
    run: str | None


class ClaimCandidates(NamedTuple):
    """The next ready tasks for a worker; the other fields count when there are any."""

    tasks: tuple[ClaimCandidate, ...] = ()
    draining: bool = False
    """Whether the worker is."""
    has_slotless: bool = False
    """Whether any ready task of these kinds needs no slot, even one that comes later."""
    now: float = 0.0
    """The database's time in epoch seconds."""


class AttemptRef(NamedTuple):
    """One claim of a stage."""

    app: str
    run: str
    stage: str
    task: str
    token: int
