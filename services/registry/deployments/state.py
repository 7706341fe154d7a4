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

from libs.common.manifests import Problem
from libs.common.times import iso
from services.registry.git.webhooks import Push

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
class Scene:
    """What is known of an app when a push arrives.

    `abandoned` is the head that a rollback left, `newest` the newest deployment that was not superseded.
    """

    abandoned: str | None
    newest: Deployment | None
    live: Deployment | None
    known: bool = False
    """Whether the pushed commit has had a deployment before."""


class Answer(StrEnum):
    JOIN = "join"
    """A deployment that will carry this commit exists already: the newest one."""
    NOTHING_NEW = "nothing new"
    ASK_GIT = "ask git"
    """Only Git can tell whether the push is new."""
    DEPLOY = "deploy"


def answer(push: Push, scene: Scene) -> Answer:
    """What a push deserves before Git is asked. Its commit is the forge's word, and may be old."""
    newest = scene.newest
    if newest is not None and (newest.queued or carries(newest, push.commit)):
        return Answer.JOIN
    if scene.live is None:
        return Answer.DEPLOY
    if push.commit is not None and nothing_new(push.commit, scene):
        elsewhere = scene.abandoned not in (None, push.commit)
        return Answer.ASK_GIT if elsewhere else Answer.NOTHING_NEW
    return Answer.ASK_GIT if push.commit is None or scene.known else Answer.DEPLOY


def nothing_new(head: str, scene: Scene) -> bool:
    """Whether the branch's `head` is live or about to be, or was left on purpose. A head that failed is tried again."""
    last = scene.newest if scene.newest is not None and scene.newest.status in OPEN else scene.live
    if scene.live is None or last is None or (last.asks and last.commit_id is None):
        return False
    return head in (last.goal, scene.abandoned)


def carries(deployment: Deployment, commit: str | None) -> bool:
    """Whether it is about to bring the branch's head `commit`; a rollback to the same commit leaves that head."""
    fits = commit is not None and deployment.commit_id == commit
    return fits and deployment.pinned is None and deployment.status in OPEN


def settled(head: str, scene: Scene) -> Deployment | None:
    """The deployment that makes a new one for `head` needless."""
    if not nothing_new(head, scene):
        return None
    newest = scene.newest
    return newest if newest is not None and newest.status in OPEN and newest.goal == head else scene.live


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


def plain_error(message: str) -> dict[str, Any]:
    """An error that has no place in a manifest."""
    return {"file": None, "line": None, "column": None, "message": message}


def shown(problem: Problem) -> dict[str, Any]:
    """A problem as deployments and checks show it."""
    return {"file": problem.file, "line": problem.line, "column": problem.column, "message": problem.message}
