"""The composition of the service: its parts, its loops, its routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from fastapi import FastAPI

from libs.common.bus import Bus, open_bus
from libs.common.disk import Disk
from libs.common.http.app import Check, service
from libs.common.http.client import open_peers
from libs.common.settings import Settings, require
from services.scheduler.callbacks.safe_client import open_outside
from services.scheduler.components.catalog_cache import Catalogs
from services.scheduler.control_loops import Loops
from services.scheduler.db import open_database
from services.scheduler.dependencies import Parts, Wakes
from services.scheduler.notifications import Bells
from services.scheduler.routes import admin, apps, callbacks, components, runs, schedules, submissions, table, workers
from services.scheduler.runs.writer import Admissions
from services.scheduler.tasks.dispatcher import TaskDispatcher

DIRECT = (*submissions.ROUTES, *workers.ROUTES)
ROUTES = (table, runs, callbacks, schedules, apps, components, admin)


def create(settings: Settings, bus: Bus | None = None) -> FastAPI:
    """Opens its own bus when none is given. Raises BadSetting without the internal token."""
    require(settings, "internal_token")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _running(settings, bus) as parts:
            app.state.parts = parts
            app.state.on_stop.append(parts.bells.close)
            yield

    def checks() -> Mapping[str, Check]:
        parts: Parts = app.state.parts
        return {"database": parts.db.ready, "bus": parts.bus.ready}

    app = service("scheduler", settings, lifespan=lifespan, checks=checks, direct=DIRECT)
    for routes in ROUTES:
        app.include_router(routes.router)
    return app


@asynccontextmanager
async def _running(settings: Settings, given: Bus | None) -> AsyncIterator[Parts]:
    async with AsyncExitStack() as stack:
        bus = given if given is not None else await stack.enter_async_context(open_bus(settings.bus))
        peers = await stack.enter_async_context(open_peers(settings))
        db = open_database(settings.database_url)
        stack.push_async_callback(db.close)
        outside = await stack.enter_async_context(open_outside(settings.callback_networks))
        wakes = Wakes()
        doorbells = TaskDispatcher(bus, lambda: wakes.relay())
        disk = Disk(settings.data, settings.disk_reserve) if db.dialect == "sqlite" else None
        admissions = Admissions(db, settings.waiting_runs, doorbells, disk)
        parts = Parts(settings, db, bus, peers, Bells(), outside, Catalogs(db), doorbells, admissions, wakes)
        loops = Loops(parts)
        parts.wakes.relay = loops.relay.wake
        parts.wakes.publish = loops.publish.wake
        parts.wakes.sweep = loops.removal.wake
        parts.wakes.tell = loops.callbacks.wake
        parts.wakes.succeed = loops.tick.wake
        parts.wakes.converge = loops.dirty
        parts.wakes.intake = loops.intake.wake
        parts.wakes.scale = loops.called
        parts.wakes.hurry = loops.hurry
        running = asyncio.create_task(loops.run(), name="scheduler")
        try:
            yield parts
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
