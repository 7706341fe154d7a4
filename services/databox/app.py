"""Composes the service: its dependencies, routes and readiness checks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from libs.common.bus import Bus
from libs.common.disk import Disk
from libs.common.errors import Malformed, NotFound
from libs.common.http.app import ReadinessCheck, create_app
from libs.common.settings import Settings
from services.databox.dependencies import open_dependencies
from services.databox.routes import boxes, files, links, logs, staging


def create(settings: Settings, bus: Bus | None = None) -> FastAPI:
    """The service as an ASGI app; without `bus` it opens the one of its settings."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_dependencies(settings, bus) as deps:
            app.state.dependencies = deps
            yield

    def readiness_checks() -> Mapping[str, ReadinessCheck]:
        deps = app.state.dependencies
        checks = {"database": deps.database.ready, "store": deps.store.ready, "bus": deps.bus.ready}
        scheme, _, folder = settings.store_url.partition("://")
        return {**checks, "disk": Disk(Path(folder), settings.disk_reserve).ready} if scheme == "file" else checks

    app = create_app(
        "databox", settings, lifespan=lifespan, checks=readiness_checks, unauthenticated_paths=("/links/",)
    )
    for route_module in (boxes, files, links, logs, staging):
        app.include_router(route_module.router)
    app.router.default = handle_not_found
    return app


async def handle_not_found(scope: Scope, _receive: Receive, _send: Send) -> None:
    """Answers 404; 400 for a path with a line break, which no route matches."""
    if "\n" in scope["path"]:
        raise Malformed("the path holds control characters")
    raise NotFound
