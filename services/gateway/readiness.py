"""Whether this gateway can serve, part by part."""

from __future__ import annotations

import asyncio
from typing import Any

from services.gateway.services import Services
from services.gateway.watch import Watch


class Readiness:
    """Not ready before there is a table and all services have answered once; with a table from disk ready at once."""

    def __init__(self, watch: Watch, services: Services) -> None:
        self._watch = watch
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
        parts = {name: {"ready": reason is None, "reason": reason} for name, reason in found.items()}
        return {"ready": self._proven, "parts": parts}
