"""Runs of pipelines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from services.scheduler.model.reason import Reason
from services.scheduler.model.run_plan import RunPlan, StagePlan, SuccessorPlan
from services.scheduler.model.task import Task

RunStatus = Literal["queued", "running", "succeeded", "failed", "canceling", "canceled", "expired"]
FINAL_STATUSES: frozenset[RunStatus] = frozenset({"succeeded", "failed", "canceled", "expired"})


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution of a pipeline."""

    id: str
    app: str
    pipeline: str
    user: str
    status: RunStatus
    plan: RunPlan
    created_at: float
    reason: Reason | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    priority: int = 0
    attempt: int = 1
    version: int = 1
    """The ETag: incremented with every change that the API shows."""
    deadline: float = math.inf
    """Until when a queued run must start, and a running one must finish."""
    chain: str | None = None
    """The first run of the chain, which refers to itself; None for a run without a chain."""
    position: int | None = None
    """Index in the chain; None for a run of an earlier attempt of the chain."""
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES

    def get_stage(self, task: Task) -> StagePlan:
        """The part of the plan that describes one task."""
        return self.plan.stages[task.replica]

    @property
    def first_pipeline(self) -> str:
        """The pipeline with which its chain began; its own without a chain."""
        return self.plan.first_pipeline if isinstance(self.plan, SuccessorPlan) else self.pipeline

    @property
    def is_chain_head(self) -> bool:
        """Whether other runs continue this one; it ends with the last of them."""
        return self.chain == self.id
