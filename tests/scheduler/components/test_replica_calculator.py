"""How many instances follow from load and silence."""

from __future__ import annotations

import pytest

from services.scheduler.components.replica_calculator import decide_replicas, initial_scale
from services.scheduler.model.autoscaling import ScaleState, ScalingBounds

BOUNDS = ScalingBounds(min_replicas=0, max_replicas=4, target=2.0, idle_timeout=60.0)


@pytest.mark.parametrize(
    ("load", "replicas"), [(0.0, 1), (0.3, 1), (2.0, 1), (2.004, 1), (2.1, 2), (4.0, 2), (7.9, 4), (500.0, 4)]
)
def test_a_load_asks_for_instances_at_once_within_the_bounds(load: float, replicas: int) -> None:
    assert decide_replicas(ScaleState(0), BOUNDS, load, now=0.0) == ScaleState(replicas)


def test_whoever_was_not_called_for_the_idle_timeout_sleeps() -> None:
    scale = decide_replicas(ScaleState(2), BOUNDS, None, now=100.0)
    assert scale == ScaleState(2, low_water_replicas=0, below_since=100.0)
    assert decide_replicas(scale, BOUNDS, None, now=159.9).replicas == 2
    assert decide_replicas(scale, BOUNDS, None, now=160.0) == ScaleState(0)


def test_as_many_stay_as_the_busiest_moment_of_the_idle_timeout_needed() -> None:
    scale = ScaleState(4)
    for now, load in ((100.0, None), (110.0, 5.0), (120.0, 0.5), (160.0, None)):
        scale = decide_replicas(scale, BOUNDS, load, now=now)
    assert scale == ScaleState(3)


def test_a_full_load_begins_the_silence_anew() -> None:
    scale = decide_replicas(ScaleState(2), BOUNDS, None, now=100.0)
    scale = decide_replicas(scale, BOUNDS, 3.0, now=150.0)
    assert decide_replicas(scale, BOUNDS, None, now=170.0) == ScaleState(2, low_water_replicas=0, below_since=170.0)


def test_silence_that_may_be_our_own_deafness_ends_nothing() -> None:
    scale = ScaleState(2, low_water_replicas=0, below_since=0.0)
    scale = decide_replicas(scale, BOUNDS, None, now=1000.0, silence_is_idle=False)
    assert scale == ScaleState(2, low_water_replicas=0, below_since=1000.0)
    assert decide_replicas(scale, BOUNDS, None, now=1059.0).replicas == 2


def test_the_bounds_hold_whatever_the_load_is() -> None:
    bounds = ScalingBounds(min_replicas=1, max_replicas=2, target=1.0, idle_timeout=0.1)
    assert decide_replicas(ScaleState(2, 0, 0.0), bounds, None, now=9.0) == ScaleState(1)
    assert decide_replicas(ScaleState(1), bounds, 9.0, now=9.0).replicas == 2


def test_what_may_sleep_begins_awake() -> None:
    assert initial_scale(BOUNDS) == ScaleState(1)
    assert initial_scale(ScalingBounds(3, 8, 1.0, 1.0)) == ScaleState(3)
