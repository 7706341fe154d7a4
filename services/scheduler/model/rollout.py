"""Rollouts: one deployment on its way to be live."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

RolloutStatus = Literal["starting", "live", "failed", "superseded"]


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Starts the instances of a deployment beside those of the live one, and replaces them once it is healthy."""

    deployment: str
    app: str
    commit: str
    status: RolloutStatus
    catalog: dict[str, Any]
    created_at: float
    steps: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    reported: bool = False
