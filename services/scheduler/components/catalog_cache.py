"""The live catalogs of apps, kept as they were read: a revision never changes."""

from __future__ import annotations

import time
from collections import OrderedDict

from libs.common.db import Database
from libs.common.errors import NotFound, Unavailable
from libs.common.manifests.catalog import Catalog
from services.scheduler.coalesce import Looks
from services.scheduler.db import Connection, apps

KEPT = 1024
MOMENT_S = 0.2
"""How long another scheduler's switch to a revision may go unnoticed here."""
Live = tuple[Catalog, str]


class Catalogs:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._looks: Looks[Live] = Looks()
        self._recent: dict[str, tuple[float, Live]] = {}
        self._kept: OrderedDict[tuple[str, str], Catalog] = OrderedDict()
        """By app and deployment."""

    async def live(self, app: str) -> Live:
        """The app's catalog and its commit; those who ask within a moment are told the same. Raises NotFound."""
        recent = self._recent.get(app)
        if recent is not None and time.monotonic() < recent[0]:
            return recent[1]
        return await self._looks.together(app, lambda: self._look(app))

    def forget(self, app: str) -> None:
        """Another revision may be live."""
        self._recent.pop(app, None)

    async def _look(self, app: str) -> Live:
        async with self._db.read() as c:
            head = await apps.get_live_commit(c, app)
            if head is None:
                raise NotFound(f"no live app {app}")
            deployment, commit = head
            if (known := self._kept.get((app, deployment))) is None:
                known = await self._read(c, app, deployment)
        self._kept[app, deployment] = known
        self._kept.move_to_end((app, deployment))
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
            self._recent.clear()
        self._recent[app] = time.monotonic() + MOMENT_S, (known, commit)
        return known, commit

    async def _read(self, c: Connection, app: str, deployment: str) -> Catalog:
        found = await apps.get(c, app)
        if found is None or found.catalog is None or found.deployment != deployment:
            raise Unavailable(f"{app} is being changed", retry_after=MOMENT_S)
        return Catalog.from_json(found.catalog)
