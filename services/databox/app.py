"""The composition of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from libs.common.bus import Bus
from libs.common.disk import Disk
from libs.common.errors import Malformed, NotFound
from libs.common.http.app import Check, service
from libs.common.settings import Settings
from services.databox.dependencies import open_parts
from services.databox.routes import boxes, files, links, logs, staging


def create(settings: Settings, bus: Bus | None = None) -> FastAPI:
    """The service as an ASGI app; it opens the bus of its settings unless it is given one."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_parts(settings, bus) as parts:
            app.state.parts = parts
            yield

    def checks() -> Mapping[str, Check]:
        parts = app.state.parts
        found = {"database": parts.database.ready, "store": parts.store.ready, "bus": parts.bus.ready}
        scheme, _, folder = settings.store_url.partition("://")
        return {**found, "disk": Disk(Path(folder), settings.disk_reserve).ready} if scheme == "file" else found

    app = service("databox", settings, lifespan=lifespan, checks=checks, open_paths=("/links/",))
    for routes in (boxes, files, links, logs, staging):
        app.include_router(routes.router)
    app.router.default = nowhere
    return app


async def nowhere(scope: Scope, _receive: Receive, _send: Send) -> None:
    """No route matched: none matches a path with a line break."""
    if "\n" in scope["path"]:
        raise Malformed("the path holds control characters")
    raise NotFound
