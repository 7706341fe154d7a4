"""Decides what a push to an app means: a new deployment, one that exists already, or a question to Git. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.registry.deployments.state import OPEN_STATUSES, Deployment


@dataclass(frozen=True)
class PushContext:
    """The state of an app when a push arrives.

    `abandoned_head` is the head that a rollback left, `newest` the newest deployment that was not superseded.
    """

    abandoned_head: str | None
    newest: Deployment | None
    live: Deployment | None
    commit_known: bool = False
    """Whether the pushed commit was deployed before."""


class PushDecision(StrEnum):
    JOIN = "join"
    """The newest deployment will deploy this commit."""
    NOTHING_NEW = "nothing new"
    ASK_GIT = "ask git"
    """The remote's head must be read first."""
    DEPLOY = "deploy"


def decide_push(commit: str | None, context: PushContext) -> PushDecision:
    """Decide about a push before asking Git. `commit` is the forge's hint and may be outdated."""
    newest = context.newest
    if newest is not None and (newest.is_queued or is_deploying(newest, commit)):
        return PushDecision.JOIN
    if context.live is None:
        return PushDecision.DEPLOY
    if commit is not None and needs_no_deployment(commit, context):
        head_was_abandoned = context.abandoned_head not in (None, commit)
        return PushDecision.ASK_GIT if head_was_abandoned else PushDecision.NOTHING_NEW
    return PushDecision.ASK_GIT if commit is None or context.commit_known else PushDecision.DEPLOY


def needs_no_deployment(head: str, context: PushContext) -> bool:
    """Whether `head` is live, being deployed, or abandoned by a rollback. A head that failed is deployed again."""
    current = context.newest if context.newest is not None and context.newest.status in OPEN_STATUSES else context.live
    if context.live is None or current is None or (current.awaits_head and current.commit_id is None):
        return False
    return head in (current.target_commit, context.abandoned_head)


def is_deploying(deployment: Deployment, commit: str | None) -> bool:
    """Whether an open deployment of the branch's head has this commit. A rollback to the same commit does not count."""
    is_same_commit = commit is not None and deployment.commit_id == commit
    return is_same_commit and deployment.pinned_commit is None and deployment.status in OPEN_STATUSES


def find_existing_deployment(head: str, context: PushContext) -> Deployment | None:
    """The deployment that already covers `head`, if any."""
    if not needs_no_deployment(head, context):
        return None
    newest = context.newest
    return (
        newest
        if newest is not None and newest.status in OPEN_STATUSES and newest.target_commit == head
        else context.live
    )
