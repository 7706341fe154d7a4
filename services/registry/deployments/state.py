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

from libs.common.times import iso

OPEN = ("pending", "building", "starting")
PENDING = ("pending",)
FIRST_RETRY_S = 30.0
LAST_RETRY_S = 3600.0
"""A fetch that failed is tried again after the first, twice as long each time, and at last after this."""
RETRIES_COUNTED = 10
"""Deployments of an app that are looked at: more failures do not make the pause longer."""


class Cause(StrEnum):
    APPLY = "apply"
    PUSH = "push"
    POLL = "poll"
    SYNC = "sync"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class Step:
    name: str
    status: str
    """running, waiting, succeeded or failed; the scheduler's steps have the same words."""
    detail: str | None = None
    started_at: float | None = None
    finished_at: float | None = None

    def shown(self) -> dict[str, Any]:
        times = {"started_at": iso(self.started_at), "finished_at": iso(self.finished_at)}
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
    steps: tuple[Step, ...] = ()

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "app": self.app,
            "commit": self.commit_id,
            "author": self.author,
            "message": self.message,
            "trigger": self.cause,
            "status": self.status,
            "steps": [step.shown() for step in self.steps],
            "errors": list(self.errors),
            "warnings": list(self.warnings),
            "created_at": iso(self.created_at),
            "live_at": iso(self.live_at),
        }

    @property
    def asks(self) -> bool:
        """Its commit is what Git says the branch's head is, and Git has not said it to the end."""
        return self.status == "pending" and self.pinned is None and self.revision is None

    @property
    def queued(self) -> bool:
        """Not begun: Git is still to be asked, whatever is pushed until then."""
        return self.asks and not self.steps

    @property
    def is_unfetched(self) -> bool:
        """It failed before Git had brought the branch's head: of that commit nothing is known yet."""
        return self.status == "failed" and self.commit_id is None and self.pinned is None

    @property
    def goal(self) -> str | None:
        """The commit that it deploys, as far as it is known."""
        return self.commit_id or self.pinned


def retry_at(newest_first: Sequence[Deployment]) -> float | None:
    """When a fetch that failed is due again, later each time; None when the newest one did not fail at its fetch."""
    counted = [one for one in newest_first if one.status != "superseded" or one.commit_id is not None]
    failed = list(takewhile(lambda one: one.is_unfetched, counted))
    if not failed:
        return None
    ended = failed[0].steps[-1].finished_at if failed[0].steps else None
    pause: float = FIRST_RETRY_S * 2 ** (len(failed) - 1)
    return (ended or failed[0].created_at) + min(pause, LAST_RETRY_S)


def unfetched(newest_first: Sequence[Deployment], head: str, again: float) -> str:
    """What is shown until the next try."""
    failed = next(one for one in newest_first if one.is_unfetched)
    return f"commit {head[:12]} could not be fetched: {failed.errors[0]['message']}; tried again after {iso(again)}"


def due(pending: Sequence[Deployment]) -> list[Deployment]:
    """The pending deployments of one app (oldest first) to go on with: of those that ask Git the newest is enough."""
    return [one for one in pending if one is pending[-1] or not one.asks]


@dataclass(frozen=True)
class Steps:
    """The steps of a deployment as they go on; the last one is the present one."""

    all: tuple[Step, ...] = ()

    def begun(self, name: str, now: float) -> Steps:
        return Steps((*self.all, Step(name, "running", started_at=now)))

    def ended(self, now: float, status: str = "succeeded", detail: str | None = None) -> Steps:
        last = self.all[-1]
        return Steps((*self.all[:-1], Step(last.name, status, detail, last.started_at, now)))

    def waiting(self, detail: str) -> Steps:
        last = self.all[-1]
        return Steps((*self.all[:-1], Step(last.name, "waiting", detail, last.started_at)))

    def until(self, name: str) -> Steps:
        """The steps before `name`."""
        names = [step.name for step in self.all]
        return Steps(self.all[: names.index(name)]) if name in names else self

    @property
    def reason(self) -> str | None:
        """What the present step waits for."""
        return self.all[-1].detail if self.all and self.all[-1].status == "waiting" else None
