"""How much each component that scales is called, told to the scheduler every second and at once when somebody waits."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass

from libs.common import log
from libs.common.errors import MeshError
from services.gateway.internal_client import Service
from services.gateway.routing.route_table import Component

TELL_S = 1.0
TELL_TIMEOUT_S = 5.0

Name = tuple[str, str]
"""App and component."""


@dataclass(slots=True)
class Meter:
    """Calls under way or waiting: how many now, and their mean since the last reading."""

    since: float
    read_at: float
    now: int = 0
    area: float = 0.0
    """Calls times seconds."""

    def change(self, by: int, time: float) -> None:
        self.area += self.now * (time - self.since)
        self.since = time
        self.now += by

    def read(self, time: float) -> float:
        self.change(0, time)
        passed = time - self.read_at
        mean = self.area / passed if passed > 0 else float(self.now)
        self.area, self.read_at = 0.0, time
        return mean


class Demand:
    def __init__(self, scheduler: Service) -> None:
        self._scheduler = scheduler
        self._name = f"{socket.gethostname()}:{os.getpid()}:{id(self):x}"
        self._meters: dict[Name, Meter] = {}
        self._urgent: set[Name] = set()
        self._wake = asyncio.Event()
        self._log = log.get("gateway")

    def begin(self, ns: str, component: Component) -> None:
        """A call of a component that scales."""
        now = asyncio.get_running_loop().time()
        meter = self._meters.get((ns, component.name))
        if meter is None:
            meter = self._meters[ns, component.name] = Meter(now, now)
        meter.change(1, now)

    def end(self, ns: str, component: Component) -> None:
        self._meters[ns, component.name].change(-1, asyncio.get_running_loop().time())

    def urgent(self, ns: str, component: Component) -> None:
        """A call waits for an instance that is not there."""
        self._urgent.add((ns, component.name))
        self._wake.set()

    async def run(self) -> None:
        """Tells for ever; a word that does not arrive is said again with the next one."""
        clock = asyncio.get_running_loop().time
        due = clock() + TELL_S
        while True:
            try:
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            except TimeoutError:
                due = clock() + TELL_S
                await self._tell(self._read(clock()))
            else:
                self._wake.clear()
                urgent, self._urgent = self._urgent, set()
                await self._tell({name: float(self._meters[name].now) for name in urgent if name in self._meters})

    def _read(self, now: float) -> dict[Name, float]:
        """The means of all that were called since the last reading; who was not is forgotten."""
        called = {
            name: meter.now > 0 or meter.area > 0 or meter.since > meter.read_at for name, meter in self._meters.items()
        }
        self._meters = {name: meter for name, meter in self._meters.items() if called[name]}
        return {name: meter.read(now) for name, meter in self._meters.items()}

    async def _tell(self, loads: dict[Name, float]) -> None:
        if not loads:
            return
        each = [{"app": app, "component": component, "load": load} for (app, component), load in loads.items()]
        try:
            await self._scheduler.ask(
                "POST", "/internal/loads", {"gateway": self._name, "loads": each}, timeout=TELL_TIMEOUT_S
            )
        except MeshError as error:
            self._log.info("the load is not told", why=error.detail)
