"""Composition root: opens the dependencies, starts the control loops, mounts the routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from fastapi import FastAPI

from libs.common.bus import Bus, open_bus
from libs.common.disk import Disk
from libs.common.http.app import ReadinessCheck, create_app
from libs.common.http.client import open_service_clients
from libs.common.http.public_client import open_public_http
from libs.common.settings import Settings, require_settings
from services.scheduler.control_loops import TIMER_INTERVAL_S, ControlLoops
from services.scheduler.db import open_database
from services.scheduler.dependencies import Dependencies
from services.scheduler.live_catalog_cache import LiveCatalogCache
from services.scheduler.long_poll_notifier import LongPollNotifier
from services.scheduler.loop_triggers import LoopTriggers
from services.scheduler.routes import (
    apps,
    builds,
    callbacks,
    components,
    gateway,
    runs,
    schedules,
    submissions,
    worker_protocol,
    workers_and_queues,
)
from services.scheduler.runs.batch_writer import RunBatchWriter
from services.scheduler.runs.submission_handler import SubmissionHandler
from services.scheduler.tasks.ready_publisher import ReadyPublisher
from services.scheduler.tasks.transition_applier import TransitionApplier

HOT_ROUTES = (*submissions.ROUTES, *worker_protocol.ROUTES)
ROUTE_MODULES = (gateway, runs, callbacks, schedules, apps, components, builds, workers_and_queues)


def create(settings: Settings, bus: Bus | None = None) -> FastAPI:
    """The ASGI application; opens a bus unless `bus` is passed. Raises BadSetting without an internal token."""
    require_settings(settings, "internal_token")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _open_dependencies(settings, bus) as deps:
            app.state.dependencies = deps
            app.state.on_stop.append(deps.notifier.close)
            yield

    def checks() -> Mapping[str, ReadinessCheck]:
        deps: Dependencies = app.state.dependencies
        return {"database": deps.db.ready, "bus": deps.bus.ready}

    app = create_app(
        "scheduler",
        settings,
        lifespan=lifespan,
        checks=checks,
        hot_routes=HOT_ROUTES,
        hot_operations=submissions.operations,
    )
    for route_module in ROUTE_MODULES:
        app.include_router(route_module.router)
    return app


@asynccontextmanager
async def _open_dependencies(settings: Settings, external_bus: Bus | None) -> AsyncIterator[Dependencies]:
    async with AsyncExitStack() as stack:
        bus = external_bus if external_bus is not None else await stack.enter_async_context(open_bus(settings.bus))
        service_clients = await stack.enter_async_context(open_service_clients(settings))
        db = open_database(settings.database_url)
        stack.push_async_callback(db.close)
        public_http = await stack.enter_async_context(open_public_http(settings.callback_networks))
        triggers = LoopTriggers(timer_interval=min(TIMER_INTERVAL_S, settings.lease / 4))
        publisher = ReadyPublisher(bus, triggers.ready_relay.wake)
        disk = Disk(settings.data, settings.disk_reserve) if db.dialect == "sqlite" else None
        run_writer = RunBatchWriter(db, settings.waiting_runs, publisher, disk)
        notifier = LongPollNotifier()
        applier = TransitionApplier(publisher, notifier, triggers, settings.app_stages, settings.run_log)
        catalogs = LiveCatalogCache(db)
        submission_handler = SubmissionHandler(service_clients, catalogs, public_http, run_writer, triggers, settings)
        deps = Dependencies(
            settings,
            db,
            bus,
            service_clients,
            notifier,
            public_http,
            catalogs,
            publisher,
            triggers,
            applier,
            submission_handler,
        )
        loops = ControlLoops(deps)
        loops_task = asyncio.create_task(loops.run(), name="scheduler")
        try:
            yield deps
        finally:
            loops_task.cancel()
            with suppress(asyncio.CancelledError):
                await loops_task
