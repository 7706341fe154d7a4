"""Event loops of tests: uvloop where services use timers and transports, as they run on it; virtual time for timers."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping

import pytest

ON_UVLOOP = (
    "tests/common/",
    "tests/gateway/",
    "tests/scheduler/",
    "tests/worker/runtime/process/",
    "tests/worker/work/",
)
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


class VirtualTimeSelector(selectors.DefaultSelector):
    """Moves its clock where another selector would wait for a timer."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        events = super().select(0)
        if not events:
            self.now += timeout
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its timers fire in their order and without waiting: for code that waits for timers, not for I/O or threads."""

    def __init__(self) -> None:
        self._clock = VirtualTimeSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def new_uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """The loops on which a test runs, by the marks `virtual_time` and `both_loops` and by its folder."""
    if item.get_closest_marker("virtual_time"):
        return {"virtual time": VirtualTimeLoop}
    if item.get_closest_marker("both_loops"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": new_uvloop}
    if item.nodeid.startswith(ON_UVLOOP):
        return {"uvloop": new_uvloop}
    return {"asyncio": asyncio.new_event_loop}
