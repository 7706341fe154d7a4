"""Loop triggers: wake the control loops when a request or another loop leaves work for them."""

from __future__ import annotations

from dataclasses import dataclass, field

from libs.common.periodic_task import WakeSignal


@dataclass(frozen=True)
class LoopTriggers:
    """One signal for each loop. They exist before the loops, which are made of functions that hold triggers."""

    timer_interval: float
    """Seconds within which the timers run once something timed has started."""
    ready_relay: WakeSignal = field(default_factory=WakeSignal)
    output_publisher: WakeSignal = field(default_factory=WakeSignal)
    callbacks: WakeSignal = field(default_factory=WakeSignal)
    retention: WakeSignal = field(default_factory=WakeSignal)
    registry_sync: WakeSignal = field(default_factory=WakeSignal)
    reconciler: WakeSignal = field(default_factory=WakeSignal)
    autoscaler: WakeSignal = field(default_factory=WakeSignal)
    timers: WakeSignal = field(default_factory=WakeSignal)
    """Their pass also advances chains of runs."""
    dirty_apps: set[str] = field(default_factory=set)
    """Apps that the next pass of the reconciler covers."""

    def reconcile(self, app: str) -> None:
        """Reconcile this app in the next pass."""
        self.dirty_apps.add(app)
        self.reconciler.wake()
        self.hurry_timers()

    def hurry_timers(self) -> None:
        """Something timed has started: run the timers within one interval."""
        self.timers.run_within(self.timer_interval)
