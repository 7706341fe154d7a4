"""Decides what a push to an app means: a new deployment, one that exists already, or a question to Git. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.registry.deployments.state import OPEN_STATUSES, Deployment


@dataclass(frozen=True)
class PushContext:
    """What is known of an app when a push arrives.

    `abandoned` is the head that a rollback left, `newest` the newest deployment that was not superseded.
    """

    abandoned_head: str | None
    newest: Deployment | None
    live: Deployment | None
    commit_known: bool = False
    """Whether the pushed commit has had a deployment before."""


class PushDecision(StrEnum):
    JOIN = "join"
    """A deployment that will carry this commit exists already: the newest one."""
    NOTHING_NEW = "nothing new"
    ASK_GIT = "ask git"
    """Only Git can tell whether the push is new."""
    DEPLOY = "deploy"


def decide_push(commit: str | None, context: PushContext) -> PushDecision:
    """What a push deserves before Git is asked. Its commit is the forge's word, and may be old."""
    newest = context.newest
    if newest is not None and (newest.is_queued or is_deploying(newest, commit)):
        return PushDecision.JOIN
    if context.live is None:
        return PushDecision.DEPLOY
    if commit is not None and is_nothing_new(commit, context):
        head_was_abandoned = context.abandoned_head not in (None, commit)
        return PushDecision.ASK_GIT if head_was_abandoned else PushDecision.NOTHING_NEW
    return PushDecision.ASK_GIT if commit is None or context.commit_known else PushDecision.DEPLOY


def is_nothing_new(head: str, context: PushContext) -> bool:
    """Whether the branch's `head` is live or about to be, or was left on purpose. A head that failed is tried again."""
    current = context.newest if context.newest is not None and context.newest.status in OPEN_STATUSES else context.live
    if context.live is None or current is None or (current.awaits_head and current.commit_id is None):
        return False
    return head in (current.target_commit, context.abandoned_head)


def is_deploying(deployment: Deployment, commit: str | None) -> bool:
    """Whether it is about to bring the branch's head `commit`; a rollback to the same commit leaves that head."""
    is_same_commit = commit is not None and deployment.commit_id == commit
    return is_same_commit and deployment.pinned is None and deployment.status in OPEN_STATUSES


def find_existing_deployment(head: str, context: PushContext) -> Deployment | None:
    """The deployment that makes a new one for `head` needless."""
    if not is_nothing_new(head, context):
        return None
    newest = context.newest
    return (
        newest
        if newest is not None and newest.status in OPEN_STATUSES and newest.target_commit == head
        else context.live
    )
