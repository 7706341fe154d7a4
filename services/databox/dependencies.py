"""What the routes work with, put together once."""

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
from libs.common.periodic_task import Loop
from libs.common.settings import Settings
from libs.common.signed_tokens import Signer
from services.databox import db as tables
from services.databox.change_publisher import Changes
from services.databox.files.logs import Logs
from services.databox.files.publications import REMEMBERED_S, Publications
from services.databox.files.quota import Quota
from services.databox.files.uploads import Uploads
from services.databox.store import Store, open_store

TIDY_S = 60.0
"""How often what is over is removed, and what the store needs is made when it is missing."""


@dataclass(frozen=True)
class Parts:
    database: Database
    bus: Bus
    store: Store
    signer: Signer
    cursors: Cursors
    quota: Quota
    changes: Changes
    uploads: Uploads
    publications: Publications
    logs: Logs

    async def tidy(self) -> None:
        await self.store.ready()
        async with self.database.write() as c:
            await tables.prune(c, REMEMBERED_S)


@asynccontextmanager
async def open_parts(settings: Settings, bus: Bus | None) -> AsyncIterator[Parts]:
    """The parts, with their loops running."""
    async with AsyncExitStack() as stack:
        signer = Signer(settings.internal_token)
        database = Database(settings.database_url)
        stack.push_async_callback(database.close)
        doorbells = bus if bus is not None else await stack.enter_async_context(open_bus(settings.bus))
        store = await stack.enter_async_context(open_store(settings, signer))
        cursors = Cursors(settings.internal_token, "databox cursor")
        parts = _parts(database, doorbells, store, signer, cursors)
        await _run(stack, parts.changes.loop, Loop("databox tidying", parts.tidy, TIDY_S))
        yield parts


def _parts(database: Database, bus: Bus, store: Store, signer: Signer, cursors: Cursors) -> Parts:
    quota, changes = Quota(database, store), Changes(bus)
    uploads = Uploads(store, quota, changes)
    publications = Publications(database, store, quota, changes)
    return Parts(database, bus, store, signer, cursors, quota, changes, uploads, publications, Logs(store))


async def _run(stack: AsyncExitStack, *loops: Loop) -> None:
    group = await stack.enter_async_context(asyncio.TaskGroup())
    for loop in loops:
        stack.callback(group.create_task(loop.run()).cancel)


async def of(request: Request) -> Parts:
    return cast(Parts, request.app.state.parts)


Given = Annotated[Parts, Depends(of)]
