"""The live catalogs of apps, kept as they were read: a revision never changes."""

from __future__ import annotations

from collections import OrderedDict

from libs.common.db import Database
from libs.common.errors import NotFound
from libs.common.manifests.catalog import Catalog
from services.scheduler.db import apps

KEPT = 1024


class Catalogs:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._kept: OrderedDict[tuple[str, str], Catalog] = OrderedDict()
        """By app and deployment."""

    async def live(self, app: str) -> tuple[Catalog, str]:
        """The app's catalog and its commit. Raises NotFound."""
        async with self._db.read() as c:
            head = await apps.head(c, app)
            if head is None:
                raise NotFound(f"no live app {app}")
            deployment, commit = head
            if (known := self._kept.get((app, deployment))) is not None:
                self._kept.move_to_end((app, deployment))
                return known, commit
            found = await apps.get(c, app)
        if found is None or found.catalog is None or found.deployment is None:
            raise NotFound(f"no live app {app}")
        catalog = Catalog.from_json(found.catalog)
        self._kept[app, found.deployment] = catalog
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return catalog, found.commit
