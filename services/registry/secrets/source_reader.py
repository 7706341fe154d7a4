"""Copies values of Secrets from their sources into the store, encrypted, whenever they change there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from libs.common import log
from libs.common.db import Database, database_time
from libs.common.periodic_task import PeriodicTask, for_each
from services.registry.db import access_feed, apps, secrets
from services.registry.secrets.new_values import encrypt_changed
from services.registry.secrets.reader import SecretReader
from services.registry.secrets.sources import read_source
from services.registry.secrets.vault import Vault

INTERVAL_S = 5.0


class SecretSourceReader:
    def __init__(
        self,
        database: Database,
        vault: Vault,
        secret_reader: SecretReader,
        sources: Mapping[str, str],
        environ: Mapping[str, str],
        publish_change: Callable[[str], None],
    ) -> None:
        """`sources` by `app/secret`; `publish_change` gets the app of a changed value."""
        self._database, self._vault, self._secret_reader = database, vault, secret_reader
        self._sources, self._environ, self._publish_change = sources, environ, publish_change
        self._problems: dict[str, tuple[str, ...]] = {}
        """What was logged, so that it is logged once."""
        self.loop = PeriodicTask("secret sources", self.copy_all, INTERVAL_S)

    async def copy_all(self) -> None:
        await for_each(self._sources, self._copy)

    async def _copy(self, place: str) -> None:
        """A value that is gone at the source stays in the store."""
        app, _, name = place.partition("/")
        async with self._database.read() as conn:
            secret = (await secrets.list_secrets(conn, app)).get(name)
        if secret is None:
            return
        source_values = await asyncio.to_thread(read_source, self._sources[place], secret.keys, self._environ)
        self._log_problems(place, source_values.problems if secret.keys else ("its declaration names no keys",))
        changed = await encrypt_changed(self._vault, self._secret_reader, app, name, source_values.values)
        if not changed:
            return
        async with self._database.write() as conn:
            if await apps.get(conn, app, lock=True) is None:
                return
            await secrets.put_values(conn, app, name, changed, await database_time(conn))
            await access_feed.record_change(conn, app)
        log.get("registry").info("Secret read from its source", app=app, secret=name, keys=sorted(changed))
        self._publish_change(app)

    def _log_problems(self, place: str, problems: tuple[str, ...]) -> None:
        if problems and problems != self._problems.get(place):
            app, _, name = place.partition("/")
            log.get("registry").warning(
                "Secret not read from its source", app=app, secret=name, why="; ".join(problems)
            )
        self._problems[place] = problems
