"""Unknown credentials: wait briefly for an update of the route table before 401, since a new key may be on its way."""

from __future__ import annotations

import asyncio
import hashlib

from services.gateway.proxy.request import Request
from services.gateway.routing.route_table import RouteTable
from services.gateway.routing.table_watcher import TableWatcher
from services.gateway.ttl_cache import TTLCache

PROPAGATION_S = 0.25
"""The time that a new API key needs to reach the route table."""


class AuthRefresh:
    def __init__(self, watcher: TableWatcher) -> None:
        self._watcher = watcher
        self._seen_credentials: TTLCache[bytes, bool] = TTLCache()

    async def wait_for_update(self, table: RouteTable, ns: str, request: Request) -> RouteTable:
        """The route table after the app changed in it, or after `PROPAGATION_S`.

        Waits once for the same credentials: repeated wrong ones get their 401 at once.
        """
        credentials = [request.by_name.get(name, b"") for name in (b"authorization", b"x-api-key", b"x-mlmesh-grant")]
        digest = hashlib.sha256(b"\0".join(credentials)).digest()
        if any(credentials) and not self._seen_credentials.get(digest):
            self._seen_credentials.put(digest, True)
            deadline = asyncio.get_running_loop().time() + PROPAGATION_S
            try:
                async with asyncio.timeout_at(deadline):
                    while self._watcher.table.apps.get(ns) is table.apps.get(ns):
                        await self._watcher.change_event.wait()
            except TimeoutError:
                pass
        return self._watcher.table
