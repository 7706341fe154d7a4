"""What a forge is told of a commit, whatever the forge. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CommitState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELED = "canceled"
    """A newer deployment took its place before it was live."""

    @property
    def is_final(self) -> bool:
        return self not in (CommitState.PENDING, CommitState.RUNNING)


@dataclass(frozen=True)
class CommitStatus:
    """`url` leads to the deployment; `context` tells it from the statuses of others."""

    commit: str
    state: CommitState
    description: str
    context: str
    url: str
