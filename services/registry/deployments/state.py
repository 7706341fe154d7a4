"""A deployment as a value, and what a push to an app means for it. Pure.

pending ──▶ starting ──▶ live ──▶ superseded
   └──────────┴──▶ failed, superseded
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import Any

from libs.common.times import iso_time

OPEN_STATUSES = ("pending", "building", "starting")
PENDING_ONLY = ("pending",)
FIRST_RETRY_S = 30.0
MAX_RETRY_S = 3600.0
"""A fetch that failed is tried again after the first, twice as long each time, and at last after this."""
MAX_COUNTED_RETRIES = 10
"""Deployments of an app that are looked at: more failures do not make the pause longer."""


class DeploymentTrigger(StrEnum):
    APPLY = "apply"
    PUSH = "push"
    POLL = "poll"
    SYNC = "sync"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class DeploymentStep:
    name: str
    status: str
    """running, waiting, succeeded or failed; the scheduler's steps have the same words."""
    detail: str | None = None
    started_at: float | None = None
    finished_at: float | None = None

    def to_json(self) -> dict[str, Any]:
        times = {"started_at": iso_time(self.started_at), "finished_at": iso_time(self.finished_at)}
        return {"name": self.name, "status": self.status, "detail": self.detail, **times}


@dataclass(frozen=True)
class Deployment:
    """`seq` orders deployments; `pinned` is the commit that a rollback wants, else the branch's head counts."""

    seq: int
    id: str
    app: str
    cause: str
    status: str
    pinned: str | None
    commit_id: str | None
    author: str | None
    message: str | None
    revision: str | None
    errors: tuple[dict[str, Any], ...]
    warnings: tuple[dict[str, Any], ...]
    created_at: float
    live_at: float | None
    steps: tuple[DeploymentStep, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "app": self.app,
            "commit": self.commit_id,
            "author": self.author,
            "message": self.message,
            "trigger": self.cause,
            "status": self.status,
            "steps": [step.to_json() for step in self.steps],
            "errors": list(self.errors),
            "warnings": list(self.warnings),
            "created_at": iso_time(self.created_at),
            "live_at": iso_time(self.live_at),
        }

    @property
    def awaits_head(self) -> bool:
        """Its commit is what Git says the branch's head is, and Git has not said it to the end."""
        return self.status == "pending" and self.pinned is None and self.revision is None

    @property
    def is_queued(self) -> bool:
        """Not begun: Git is still to be asked, whatever is pushed until then."""
        return self.awaits_head and not self.steps

    @property
    def is_unfetched(self) -> bool:
        """It failed before Git had brought the branch's head: of that commit nothing is known yet."""
        return self.status == "failed" and self.commit_id is None and self.pinned is None

    @property
    def target_commit(self) -> str | None:
        """The commit that it deploys, as far as it is known."""
        return self.commit_id or self.pinned


def get_fetch_retry_time(newest_first: Sequence[Deployment]) -> float | None:
    """When a fetch that failed is due again, later each time; None when the newest one did not fail at its fetch."""
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
    """What is shown until the next try."""
    failure = next(deployment for deployment in newest_first if deployment.is_unfetched)
    why = failure.errors[0]["message"]
    return f"commit {head[:12]} could not be fetched: {why}; tried again after {iso_time(retry_time)}"


def select_due(pending: Sequence[Deployment]) -> list[Deployment]:
    """The pending deployments of one app (oldest first) to go on with: of those that ask Git the newest is enough."""
    return [deployment for deployment in pending if deployment is pending[-1] or not deployment.awaits_head]


@dataclass(frozen=True)
class StepHistory:
    """The steps of a deployment as they go on; the last one is the present one."""

    steps: tuple[DeploymentStep, ...] = ()

    def start(self, name: str, now: float) -> StepHistory:
        return StepHistory((*self.steps, DeploymentStep(name, "running", started_at=now)))

    def finish(self, now: float, status: str = "succeeded", detail: str | None = None) -> StepHistory:
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
        """What the present step waits for."""
        return self.steps[-1].detail if self.steps and self.steps[-1].status == "waiting" else None
