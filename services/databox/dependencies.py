"""Dependencies of the routes, created once per process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from libs.common.bus import Bus, open_bus
from libs.common.db import Database
from libs.common.http.pagination import Cursors
from libs.common.periodic_task import PeriodicTask
from libs.common.settings import Settings
from libs.common.signed_tokens import TokenSigner
from services.databox import db
from services.databox.change_publisher import BoxChangePublisher
from services.databox.files.logs import LogFiles
from services.databox.files.publications import RETENTION_S, Publications
from services.databox.files.quota import Quota
from services.databox.files.uploads import Uploads
from services.databox.store import Store, open_store

MAINTENANCE_INTERVAL_S = 60.0
"""How often expired rows are deleted, and folders or buckets of the store are recreated if they are missing."""


@dataclass(frozen=True)
class Dependencies:
    database: Database
    bus: Bus
    store: Store
    signer: TokenSigner
    cursors: Cursors
    quota: Quota
    changes: BoxChangePublisher
    uploads: Uploads
    publications: Publications
    logs: LogFiles

    async def run_maintenance(self) -> None:
        await self.store.ready()
        async with self.database.write() as conn:
            await db.delete_expired(conn, RETENTION_S)


@asynccontextmanager
async def open_dependencies(settings: Settings, bus: Bus | None) -> AsyncIterator[Dependencies]:
    """The dependencies, with their background loops running."""
    async with AsyncExitStack() as stack:
        signer = TokenSigner(settings.internal_token)
        database = Database(settings.database_url)
        stack.push_async_callback(database.close)
        message_bus = bus if bus is not None else await stack.enter_async_context(open_bus(settings.bus))
        store = await stack.enter_async_context(open_store(settings, signer))
        cursors = Cursors(settings.internal_token, "databox cursor")
        deps = _build_dependencies(database, message_bus, store, signer, cursors)
        await _start_loops(
            stack, deps.changes.loop, PeriodicTask("databox maintenance", deps.run_maintenance, MAINTENANCE_INTERVAL_S)
        )
        yield deps


def _build_dependencies(
    database: Database, bus: Bus, store: Store, signer: TokenSigner, cursors: Cursors
) -> Dependencies:
    quota, changes = Quota(database, store), BoxChangePublisher(bus)
    uploads = Uploads(store, quota, changes)
    publications = Publications(database, store, quota, changes)
    return Dependencies(database, bus, store, signer, cursors, quota, changes, uploads, publications, LogFiles(store))


async def _start_loops(stack: AsyncExitStack, *loops: PeriodicTask) -> None:
    group = await stack.enter_async_context(asyncio.TaskGroup())
    for loop in loops:
        stack.callback(group.create_task(loop.run()).cancel)


async def get_dependencies(request: Request) -> Dependencies:
    return cast(Dependencies, request.app.state.dependencies)


DependenciesDep = Annotated[Dependencies, Depends(get_dependencies)]
