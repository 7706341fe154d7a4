"""Decides what a push to an app means: a new deployment, one that exists already, or a question to Git. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.registry.deployments.state import OPEN, Deployment


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


def answer(commit: str | None, scene: Scene) -> Answer:
    """What a push deserves before Git is asked. Its commit is the forge's word, and may be old."""
    newest = scene.newest
    if newest is not None and (newest.queued or carries(newest, commit)):
        return Answer.JOIN
    if scene.live is None:
        return Answer.DEPLOY
    if commit is not None and nothing_new(commit, scene):
        elsewhere = scene.abandoned not in (None, commit)
        return Answer.ASK_GIT if elsewhere else Answer.NOTHING_NEW
    return Answer.ASK_GIT if commit is None or scene.known else Answer.DEPLOY


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
