"""Scaling: the bounds of a component from its manifest, and its number of instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from libs.common.manifests.mlcomponent import MLComponent

IDLE_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class ScalingBounds:
    """Limits from the manifest; `target`: calls in flight or queued for each instance."""

    min_replicas: int
    max_replicas: int
    target: float
    idle_timeout: float

    @classmethod
    def from_component(cls, component: MLComponent) -> ScalingBounds:
        scaling = component.spec.scaling
        return cls(
            min_replicas=scaling.min,
            max_replicas=scaling.max,
            target=float(scaling.target_concurrency or instance_capacity(component)),
            idle_timeout=scaling.idle_timeout or IDLE_TIMEOUT_S,
        )

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ScalingBounds:
        return cls(document["least"], document["most"], document["target"], document["idle_timeout"])

    def to_json(self) -> dict[str, Any]:
        return {
            "least": self.min_replicas,
            "most": self.max_replicas,
            "target": self.target,
            "idle_timeout": self.idle_timeout,
        }

    @property
    def is_fixed(self) -> bool:
        return self.min_replicas == self.max_replicas

    def clamp(self, replicas: int) -> int:
        return min(self.max_replicas, max(self.min_replicas, replicas))


@dataclass(frozen=True)
class ScaleState:
    """The desired number of instances. Since `below_since`, an epoch time, `low_water_replicas` were enough."""

    replicas: int
    low_water_replicas: int = 0
    below_since: float | None = None

    def to_row(self) -> dict[str, Any]:
        """Columns of `scheduler_autoscaling`."""
        return {
            "replicas": self.replicas,
            "low_water_replicas": self.low_water_replicas,
            "below_since": self.below_since,
        }


def instance_capacity(component: MLComponent) -> int:
    """How many calls one instance handles at the same time."""
    service = component.spec.ml_service
    return service.container_concurrency * (service.batching.max_size if service.batching else 1)
