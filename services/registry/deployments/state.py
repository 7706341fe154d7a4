"""A deployment as a value, its states and steps, and when a failed fetch is retried. Pure.

pending ──▶ starting ──▶ live ──▶ superseded
   └──────────┴──▶ failed, superseded
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.http.response_shapes import AppName, Commit, Time, response_shape
from libs.common.times import iso_time
from services.registry.checks.problems import DeploymentErrorJson

OPEN_STATUSES = ("pending", "building", "starting")
PENDING_ONLY = ("pending",)
FIRST_RETRY_S = 30.0
MAX_RETRY_S = 3600.0
"""Exponential back-off of a failed fetch: from FIRST_RETRY_S, doubled each time, to MAX_RETRY_S."""
MAX_COUNTED_RETRIES = 10
"""Deployments of an app that are read: more failures do not make the back-off longer."""


StepStatus = Literal["running", "waiting", "succeeded", "failed"]
TriggerName = Literal["apply", "push", "poll", "sync", "rollback", "promotion"]
DeploymentStatus = Literal["pending", "building", "starting", "live", "failed", "superseded"]


@response_shape
class DeploymentStepJson(TypedDict):
    """One step of a deployment."""

    name: Annotated[str, Field(examples=["fetch"])]
    status: StepStatus
    detail: str | None
    """What it waits for, or what it did."""
    started_at: Time | None
    finished_at: Time | None


@response_shape
class RepeatedDeploymentJson(TypedDict):
    """A deployment, perhaps of another app."""

    app: AppName
    deployment: str


@response_shape
class DeploymentJson(TypedDict):
    """A commit on its way to be live, or one that was."""

    id: str
    app: AppName
    commit: Commit | None
    """Null until it is known."""
    tag: Annotated[str | None, Field(examples=["v1.2"])]
    """The newest one that matched, of a Repository that follows tags."""
    author: str | None
    message: str | None
    trigger: TriggerName
    caused_by: Annotated[str | None, Field(examples=["token ci"])]
    """Whose token, the webhook of which forge, or `poll`; null of deployments of earlier releases."""
    repeats: RepeatedDeploymentJson | None
    """What a rollback or a promotion deploys again: its commit, on its images."""
    status: DeploymentStatus
    steps: list[DeploymentStepJson]
    errors: list[DeploymentErrorJson]
    warnings: list[DeploymentErrorJson]
    created_at: Time
    live_at: Time | None


class DeploymentTrigger(StrEnum):
    APPLY = "apply"
    PUSH = "push"
    POLL = "poll"
    SYNC = "sync"
    ROLLBACK = "rollback"
    PROMOTION = "promotion"


@dataclass(frozen=True)
class DeploymentStep:
    name: str
    status: StepStatus
    detail: str | None = None
    started_at: float | None = None
    finished_at: float | None = None

    def to_json(self) -> DeploymentStepJson:
        return {
            "name": self.name,
            "status": self.status,
            "detail": self.detail,
            "started_at": iso_time(self.started_at),
            "finished_at": iso_time(self.finished_at),
        }


@dataclass(frozen=True)
class Deployment:
    """`seq` orders deployments; `pinned_commit` is the commit of a rollback, None means the branch's head.

    `rollback_to` is the deployment that a rollback or a promotion repeats; `promoted_from` its app, if it is another.
    """

    seq: int
    id: str
    app: str
    trigger: TriggerName
    status: DeploymentStatus
    pinned_commit: str | None
    commit_id: str | None
    author: str | None
    message: str | None
    revision: str | None
    errors: tuple[DeploymentErrorJson, ...]
    warnings: tuple[DeploymentErrorJson, ...]
    created_at: float
    live_at: float | None
    steps: tuple[DeploymentStep, ...] = ()
    rollback_to: str | None = None
    promoted_from: str | None = None
    caused_by: str | None = None
    tag: str | None = None

    def to_json(self) -> DeploymentJson:
        return {
            "id": self.id,
            "app": self.app,
            "commit": self.target_commit,
            "tag": self.tag,
            "author": self.author,
            "message": self.message,
            "trigger": self.trigger,
            "caused_by": self.caused_by,
            "repeats": self._repeated_to_json(),
            "status": self.status,
            "steps": [step.to_json() for step in self.steps],
            "errors": list(self.errors),
            "warnings": list(self.warnings),
            "created_at": iso_time(self.created_at),
            "live_at": iso_time(self.live_at),
        }

    def _repeated_to_json(self) -> RepeatedDeploymentJson | None:
        if self.rollback_to is None:
            return None
        return {"app": self.promoted_from or self.app, "deployment": self.rollback_to}

    @property
    def awaits_head(self) -> bool:
        """Pending, deploys the branch's head, and has no revision of it yet."""
        return self.status == "pending" and self.pinned_commit is None and self.revision is None

    @property
    def is_queued(self) -> bool:
        """Has not started: it will deploy whatever is pushed until then."""
        return self.awaits_head and not self.steps

    @property
    def is_unfetched(self) -> bool:
        """Failed before the branch's head was fetched, so its commit is not known."""
        return self.status == "failed" and self.commit_id is None and self.pinned_commit is None

    def is_rolling_back_to(self, target: Deployment) -> bool:
        """Whether this is a rollback to `target` that has not ended."""
        is_open = self.status in ("pending", "building", "starting")
        return is_open and self.trigger == "rollback" and self.rollback_to == target.id

    @property
    def target_commit(self) -> str | None:
        """The commit to deploy, if it is known yet."""
        return self.commit_id or self.pinned_commit


def get_fetch_retry_time(newest_first: Sequence[Deployment]) -> float | None:
    """When to retry a failed fetch, with back-off; None when the newest deployment did not fail at its fetch."""
    relevant = [
        deployment
        for deployment in newest_first
        if deployment.status != "superseded" or deployment.commit_id is not None
    ]
    failures = list(takewhile(lambda deployment: deployment.is_unfetched, relevant))
    if not failures:
        return None
    failed_at = failures[0].steps[-1].finished_at if failures[0].steps else None
    pause: float = FIRST_RETRY_S * 2 ** (len(failures) - 1)
    return (failed_at or failures[0].created_at) + min(pause, MAX_RETRY_S)


def describe_failed_fetch(newest_first: Sequence[Deployment], head: str, retry_time: float) -> str:
    """The poll error that is shown until the retry."""
    failure = next(deployment for deployment in newest_first if deployment.is_unfetched)
    why = failure.errors[0]["message"]
    return f"commit {head[:12]} could not be fetched: {why}; tried again after {iso_time(retry_time)}"


def select_due(pending: Sequence[Deployment]) -> list[Deployment]:
    """Of one app's pending deployments (oldest first), those to run: of those that await the head only the newest."""
    return [deployment for deployment in pending if deployment is pending[-1] or not deployment.awaits_head]


@dataclass(frozen=True)
class StepHistory:
    """The steps of a deployment; the last one is current."""

    steps: tuple[DeploymentStep, ...] = ()

    def start(self, name: str, now: float) -> StepHistory:
        return StepHistory((*self.steps, DeploymentStep(name, "running", started_at=now)))

    def finish(self, now: float, status: StepStatus = "succeeded", detail: str | None = None) -> StepHistory:
        last = self.steps[-1]
        return StepHistory((*self.steps[:-1], DeploymentStep(last.name, status, detail, last.started_at, now)))

    def wait(self, detail: str) -> StepHistory:
        last = self.steps[-1]
        return StepHistory((*self.steps[:-1], DeploymentStep(last.name, "waiting", detail, last.started_at)))

    def drop_from(self, name: str) -> StepHistory:
        """The steps before `name`."""
        names = [step.name for step in self.steps]
        return StepHistory(self.steps[: names.index(name)]) if name in names else self

    @property
    def waiting_reason(self) -> str | None:
        """What the current step waits for."""
        return self.steps[-1].detail if self.steps and self.steps[-1].status == "waiting" else None
