"""How many instances of a component there should be. Pure.

As many as its load asks for at once when it grows; fewer only when less would have been enough all along for the idle
timeout, so that a pause between two bursts costs nobody a cold start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from libs.common.manifests.catalog import Catalog
from libs.common.manifests.mlcomponent import MLComponent

IDLE_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class ScalingBounds:
    """What the manifest says; `target`: calls under way or waiting for each instance."""

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
    """`replicas` are wanted; `enough` would have been since `quiet_since` (epoch seconds; None: all are needed)."""

    replicas: int
    low_water_replicas: int = 0
    below_since: float | None = None

    def to_row(self) -> dict[str, Any]:
        """Columns of `scheduler_scales`."""
        return {"replicas": self.replicas, "enough": self.low_water_replicas, "quiet_since": self.below_since}


def instance_capacity(component: MLComponent) -> int:
    """Calls that one instance works on at the same time."""
    service = component.spec.ml_service
    return service.container_concurrency * (service.batching.max_size if service.batching else 1)


def scaling_for_revision(
    catalog: Catalog, scales: Mapping[str, ScaleState]
) -> dict[str, tuple[ScalingBounds, ScaleState]]:
    """Of the components of a revision that goes live, those whose number changes: as many as there were, awake."""
    scaling = {}
    for name, component in catalog.components.items():
        bounds = ScalingBounds.from_component(component)
        if not bounds.is_fixed:
            state = scales.get(name) or initial_scale(bounds)
            scaling[name] = bounds, ScaleState(max(1, bounds.clamp(state.replicas)))
    return scaling


def initial_scale(bounds: ScalingBounds) -> ScaleState:
    """A component begins with an instance even if it may have none: whether it starts at all is worth knowing."""
    return ScaleState(bounds.clamp(1))


def decide_replicas(
    scale: ScaleState, bounds: ScalingBounds, load: float | None, now: float, *, silence_is_idle: bool = True
) -> ScaleState:
    """`load`: calls under way or waiting, a mean; None: nobody calls. `steady`: silence means that nobody calls."""
    needed = bounds.clamp(0 if load is None else max(1, math.ceil(round(load / bounds.target, 2))))
    if needed >= scale.replicas:
        return ScaleState(needed)
    if not silence_is_idle or scale.below_since is None:
        return replace(scale, low_water_replicas=needed, below_since=now)
    low_water = max(scale.low_water_replicas, needed)
    if now - scale.below_since < bounds.idle_timeout:
        return replace(scale, low_water_replicas=low_water)
    return ScaleState(bounds.clamp(low_water))
