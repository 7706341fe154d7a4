"""Runs of pipelines."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from services.scheduler.model.reason import Reason
from services.scheduler.model.task import Task

RunStatus = Literal["queued", "running", "succeeded", "failed", "canceling", "canceled", "expired"]
FINAL_STATUSES: frozenset[RunStatus] = frozenset({"succeeded", "failed", "canceled", "expired"})


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
