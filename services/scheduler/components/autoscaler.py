"""How many instances of a component there should be. Pure.

As many as its load asks for at once when it grows; fewer only when less would have been enough all along for the idle
timeout, so that a pause between two bursts costs nobody a cold start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from libs.common.manifests.catalog import Catalog
from libs.common.manifests.mlcomponent import MLComponent

IDLE_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Bounds:
    """What the manifest says; `target`: calls under way or waiting for each instance."""

    least: int
    most: int
    target: float
    idle_timeout: float

    @classmethod
    def of(cls, component: MLComponent) -> Bounds:
        scaling = component.spec.scaling
        return cls(
            least=scaling.min,
            most=scaling.max,
            target=float(scaling.target_concurrency or at_once(component)),
            idle_timeout=scaling.idle_timeout or IDLE_TIMEOUT_S,
        )

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Bounds:
        return cls(**document)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def fixed(self) -> bool:
        return self.least == self.most

    def clamped(self, replicas: int) -> int:
        return min(self.most, max(self.least, replicas))


@dataclass(frozen=True)
class Scale:
    """`replicas` are wanted; `enough` would have been since `quiet_since` (epoch seconds; None: all are needed)."""

    replicas: int
    enough: int = 0
    quiet_since: float | None = None


def at_once(component: MLComponent) -> int:
    """Calls that one instance works on at the same time."""
    service = component.spec.ml_service
    return service.calls_at_once * (service.batching.max_size if service.batching else 1)


def ranges(catalog: Catalog, scales: Mapping[str, Scale]) -> dict[str, tuple[Bounds, Scale]]:
    """Of the components of a revision that goes live, those whose number changes: as many as there were, awake."""
    found = {}
    for name, component in catalog.components.items():
        bounds = Bounds.of(component)
        if not bounds.fixed:
            before = scales.get(name) or first(bounds)
            found[name] = bounds, Scale(max(1, bounds.clamped(before.replicas)))
    return found


def first(bounds: Bounds) -> Scale:
    """A component begins with an instance even if it may have none: whether it starts at all is worth knowing."""
    return Scale(bounds.clamped(1))


def decide(scale: Scale, bounds: Bounds, load: float | None, now: float, *, steady: bool = True) -> Scale:
    """`load`: calls under way or waiting, a mean; None: nobody calls. `steady`: silence means that nobody calls."""
    wanted = bounds.clamped(0 if load is None else max(1, math.ceil(round(load / bounds.target, 2))))
    if wanted >= scale.replicas:
        return Scale(wanted)
    if not steady or scale.quiet_since is None:
        return replace(scale, enough=wanted, quiet_since=now)
    enough = max(scale.enough, wanted)
    if now - scale.quiet_since < bounds.idle_timeout:
        return replace(scale, enough=enough)
    return Scale(bounds.clamped(enough))
