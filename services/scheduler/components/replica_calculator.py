"""The replica calculator: how many instances a component should have. Pure.

Scales up immediately with load; scales down only after fewer instances would have sufficed for the whole idle timeout
(a stabilization window), so that a pause between two bursts causes no cold start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from libs.common.manifests.catalog import Catalog
from services.scheduler.model.autoscaling import ScaleState, ScalingBounds


def scaling_for_revision(
    catalog: Catalog, scales: Mapping[str, ScaleState]
) -> dict[str, tuple[ScalingBounds, ScaleState]]:
    """Bounds and state of the scaled components of a revision that goes live: current replicas, at least one."""
    scaling = {}
    for name, component in catalog.components.items():
        bounds = ScalingBounds.from_component(component)
        if not bounds.is_fixed:
            state = scales.get(name) or initial_scale(bounds)
            scaling[name] = bounds, ScaleState(max(1, bounds.clamp(state.replicas)))
    return scaling


def initial_scale(bounds: ScalingBounds) -> ScaleState:
    """One instance, even if the minimum is zero: a rollout shows whether the component starts at all."""
    return ScaleState(bounds.clamp(1))


def decide_replicas(
    scale: ScaleState, bounds: ScalingBounds, load: float | None, now: float, *, silence_is_idle: bool = True
) -> ScaleState:
    """`load`: mean of calls in flight or queued, None without a report. `silence_is_idle`: no report means no calls."""
    needed = bounds.clamp(0 if load is None else max(1, math.ceil(round(load / bounds.target, 2))))
    if needed >= scale.replicas:
        return ScaleState(needed)
    if not silence_is_idle or scale.below_since is None:
        return replace(scale, low_water_replicas=needed, below_since=now)
    low_water = max(scale.low_water_replicas, needed)
    if now - scale.below_since < bounds.idle_timeout:
        return replace(scale, low_water_replicas=low_water)
    return ScaleState(bounds.clamp(low_water))
