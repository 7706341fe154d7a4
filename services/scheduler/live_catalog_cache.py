"""A cache of the apps' live catalogs. Revisions are immutable, so only which one is live can become stale."""

from __future__ import annotations

import time
from collections import OrderedDict

from libs.common.db import Database
from libs.common.errors import NotFound, Unavailable
from libs.common.manifests.catalog import Catalog
from services.scheduler.db import Connection, apps
from services.scheduler.read_coalescer import ReadCoalescer

MAX_CATALOGS = 1024
FRESH_S = 0.2
"""How long another scheduler's switch to a new revision may go unnoticed here."""
LiveCatalog = tuple[Catalog, str]


class LiveCatalogCache:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._reads: ReadCoalescer[LiveCatalog] = ReadCoalescer()
        self._recent: dict[str, tuple[float, LiveCatalog]] = {}
        self._catalogs: OrderedDict[tuple[str, str], Catalog] = OrderedDict()
        """LRU cache, by app and deployment."""

    async def get_live(self, app: str) -> LiveCatalog:
        """The app's live catalog and commit, at most FRESH_S old. Raises NotFound."""
        recent = self._recent.get(app)
        if recent is not None and time.monotonic() < recent[0]:
            return recent[1]
        return await self._reads.run(app, lambda: self._load_live(app))

    def invalidate(self, app: str) -> None:
        """Another revision may be live: read it again."""
        self._recent.pop(app, None)

    async def _load_live(self, app: str) -> LiveCatalog:
        async with self._db.read() as conn:
            live = await apps.get_live_commit(conn, app)
            if live is None:
                raise NotFound(f"no live app {app}")
            deployment, commit = live
            if (catalog := self._catalogs.get((app, deployment))) is None:
                catalog = await self._read_catalog(conn, app, deployment)
        self._catalogs[app, deployment] = catalog
        self._catalogs.move_to_end((app, deployment))
        if len(self._catalogs) > MAX_CATALOGS:
            self._catalogs.popitem(last=False)
            self._recent.clear()
        self._recent[app] = time.monotonic() + FRESH_S, (catalog, commit)
        return catalog, commit

    async def _read_catalog(self, conn: Connection, app: str, deployment: str) -> Catalog:
        live_app = await apps.get(conn, app)
        if live_app is None or live_app.catalog is None or live_app.deployment != deployment:
            raise Unavailable(f"a new revision of {app} is going live; try again", retry_after=FRESH_S)
        return Catalog.from_json(live_app.catalog)
