"""Readiness of the gateway, with a report for each dependency."""

from __future__ import annotations

import asyncio
from typing import TypedDict

from libs.common.disk import Disk
from services.gateway.internal_client import InternalServices
from services.gateway.routing.table_watcher import TableWatcher


class PartStatus(TypedDict):
    """A dependency of the gateway; `reason`: why it is not ready."""

    ready: bool
    reason: str | None


class ReadinessReport(TypedDict):
    ready: bool
    parts: dict[str, PartStatus]


class Readiness:
    """Ready once there is a route table and all services have responded once; at once with a table from disk.

    Later outages of services are reported but keep it ready; a full disk makes it not ready.
    """

    def __init__(self, watcher: TableWatcher, services: InternalServices, disk: Disk) -> None:
        self._watcher = watcher
        self._disk = disk
        self._services = services
        self._was_ready = False

    def accept_loaded_table(self) -> None:
        self._was_ready = self._watcher.has_table

    async def build_report(self) -> ReadinessReport:
        services = self._services.list_all()
        reasons = await asyncio.gather(*(service.check_health() for service in services))
        problems = {"table": None if self._watcher.has_table else "no route table has been received yet"}
        problems |= {service.name: reason for service, reason in zip(services, reasons, strict=True)}
        self._was_ready = self._was_ready or (self._watcher.has_table and not any(reasons))
        disk_problem = None if self._disk.has_free_space() else self._disk.describe_full()
        problems["disk"] = disk_problem
        parts: dict[str, PartStatus] = {
            name: {"ready": reason is None, "reason": reason} for name, reason in problems.items()
        }
        return {"ready": self._was_ready and disk_problem is None, "parts": parts}
