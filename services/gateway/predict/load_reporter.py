"""Reports the concurrency of autoscaled components to the scheduler: every second, and at once on a cold start."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from libs.common import log
from libs.common.errors import MeshError
from libs.common.protocol.load_report import ComponentLoad, LoadReport
from services.gateway.internal_client import InternalService
from services.gateway.routing.route_table import Component

REPORT_INTERVAL_S = 1.0
REPORT_TIMEOUT_S = 5.0

ComponentKey = tuple[str, str]
"""App and component."""


@dataclass(slots=True)
class ConcurrencyMeter:
    """Calls in flight: the number now, and the time-weighted mean since the last reading."""

    updated_at: float
    read_at: float
    in_flight: int = 0
    call_seconds: float = 0.0
    """Integral of calls over time."""

    def add(self, calls: int, time: float) -> None:
        self.call_seconds += self.in_flight * (time - self.updated_at)
        self.updated_at = time
        self.in_flight += calls

    def read_mean(self, time: float) -> float:
        self.add(0, time)
        passed = time - self.read_at
        mean = self.call_seconds / passed if passed > 0 else float(self.in_flight)
        self.call_seconds, self.read_at = 0.0, time
        return mean


class LoadReporter:
    def __init__(self, scheduler: InternalService) -> None:
        self._scheduler = scheduler
        self._name = f"{socket.gethostname()}:{os.getpid()}:{id(self):x}"
        self._meters: dict[ComponentKey, ConcurrencyMeter] = {}
        self._urgent: set[ComponentKey] = set()
        self._wake = asyncio.Event()
        self._log = log.get("gateway")

    def start_call(self, ns: str, component: Component) -> None:
        """A call of an autoscaled component starts."""
        now = asyncio.get_running_loop().time()
        meter = self._meters.get((ns, component.name))
        if meter is None:
            meter = self._meters[ns, component.name] = ConcurrencyMeter(now, now)
            self._wake.set()
        meter.add(1, now)

    def end_call(self, ns: str, component: Component) -> None:
        self._meters[ns, component.name].add(-1, asyncio.get_running_loop().time())

    def report_now(self, ns: str, component: Component) -> None:
        """A call waits for a cold start: send a report now."""
        self._urgent.add((ns, component.name))
        self._wake.set()

    async def run(self) -> None:
        """Send reports for ever, while there are calls; a lost report is made up for by the next."""
        clock = asyncio.get_running_loop().time
        due = clock() + REPORT_INTERVAL_S
        while True:
            if not self._meters:
                await self._wake.wait()
                due = clock() + REPORT_INTERVAL_S
            try:
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            except TimeoutError:
                due = clock() + REPORT_INTERVAL_S
                await self._report(self._read_loads(clock()))
            else:
                self._wake.clear()
                urgent, self._urgent = self._urgent, set()
                await self._report(
                    {name: float(self._meters[name].in_flight) for name in urgent if name in self._meters}
                )

    def _read_loads(self, now: float) -> dict[ComponentKey, float]:
        """The mean concurrency of components called since the last reading; the meters of others are dropped."""
        active = {
            name: meter.in_flight > 0 or meter.call_seconds > 0 or meter.updated_at > meter.read_at
            for name, meter in self._meters.items()
        }
        self._meters = {name: meter for name, meter in self._meters.items() if active[name]}
        return {name: meter.read_mean(now) for name, meter in self._meters.items()}

    async def _report(self, loads: dict[ComponentKey, float]) -> None:
        if not loads:
            return
        report = build_report(self._name, loads).to_json()
        try:
            await self._scheduler.request_json("POST", "/internal/loads", report, timeout=REPORT_TIMEOUT_S)
        except MeshError as error:
            self._log.warning("Failed to report load to scheduler", error=error.detail)


def build_report(gateway: str, loads: Mapping[ComponentKey, float]) -> LoadReport:
    """Its bounds are not checked here: the scheduler drops an entry that breaks one, and takes the others."""
    entries = tuple(
        ComponentLoad.model_construct(app=app, component=component, load=load)
        for (app, component), load in loads.items()
    )
    return LoadReport.model_construct(gateway=gateway, loads=entries)
