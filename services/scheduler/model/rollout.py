"""Rollouts: one deployment on its way to be live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.protocol.deployment import RolloutProblem, RolloutStatus, RolloutStep


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Starts the instances of a deployment beside those of the live one, and replaces them once it is healthy."""

    deployment: str
    app: str
    commit: str
    status: RolloutStatus
    catalog: dict[str, Any]
    created_at: float
    steps: Sequence[RolloutStep] = ()
    errors: Sequence[RolloutProblem] = ()
    warnings: Sequence[RolloutProblem] = ()
    reported: bool = False
