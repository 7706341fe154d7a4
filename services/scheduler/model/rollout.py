"""Rollouts: one deployment on its way to be live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    images: Mapping[str, str] = field(default_factory=dict)
    """The exact image of each name; once all are known, the catalog has them in place of the names."""

    builds: Mapping[str, str] = field(default_factory=dict)
    """The log of the build of each component and stage (`pipeline.stage`) whose image is built."""

    @property
    def has_started(self) -> bool:
        """Whether its images are known and its instances are started."""
        return any(step.name == "start" for step in self.steps)


def rollout_step(
    name: str, status: str, started: float, *, finished: float | None = None, detail: str = ""
) -> RolloutStep:
    return RolloutStep(name=name, status=status, detail=detail, started_at=started, finished_at=finished)
