"""Whether this gateway can serve, part by part."""

from __future__ import annotations

import asyncio
from typing import Any

from libs.common.disk import Disk
from services.gateway.internal_client import Services
from services.gateway.routing.table_watcher import Watch


class Readiness:
    """Not ready before there is a table and all services have answered once; with a table from disk ready at once.

    A disk that is full is told, too: nothing that is decided can be kept.
    """

    def __init__(self, watch: Watch, services: Services, disk: Disk) -> None:
        self._watch = watch
        self._disk = disk
        self._services = services
        self._proven = False

    def loaded(self) -> None:
        self._proven = self._watch.known

    async def report(self) -> dict[str, Any]:
        services = self._services.all()
        reasons = await asyncio.gather(*(service.alive() for service in services))
        found = {"table": None if self._watch.known else "there has been no table yet"}
        found |= {service.name: reason for service, reason in zip(services, reasons, strict=True)}
        self._proven = self._proven or (self._watch.known and not any(reasons))
        full = None if self._disk.has_room() else self._disk.sentence()
        found["disk"] = full
        parts = {name: {"ready": reason is None, "reason": reason} for name, reason in found.items()}
        return {"ready": self._proven and full is None, "parts": parts}
