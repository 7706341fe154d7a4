"""The composition of the service: its parts, its loops, its routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from libs.common.bus import Bus, open_bus
from libs.common.db import Database
from libs.common.http.app import Check, service
from libs.common.http.client import open_peers
from libs.common.settings import Settings, require
from services.registry.app_removal import Remover
from services.registry.dependencies import Parts
from services.registry.deployments.worker import Deployer
from services.registry.events import Doorbell
from services.registry.git.address_policy import Locations
from services.registry.git.allowed_folders import Folders
from services.registry.git.cache import Source
from services.registry.git.poller import Poller
from services.registry.git.remotes import Origins
from services.registry.routes import apply, apps, deployments, hooks, internal, keys, secrets, tokens, validate
from services.registry.secrets.vault import Vault

ROUTES = (apply, apps, deployments, secrets, keys, tokens, validate, hooks, internal)


def create(settings: Settings, bus: Bus | None = None) -> FastAPI:
    """Opens its own bus when none is given. Raises BadSetting without the internal token or the secret key."""
    require(settings, "internal_token", "secret_key")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _running(settings, bus) as parts:
            app.state.parts = parts
            yield

    def checks() -> Mapping[str, Check]:
        parts: Parts = app.state.parts
        return {"database": parts.database.ready}

    app = service("registry", settings, lifespan=lifespan, checks=checks)
    for routes in ROUTES:
        app.include_router(routes.router)
    return app


@asynccontextmanager
async def _running(settings: Settings, given: Bus | None) -> AsyncIterator[Parts]:
    """Everything that lives as long as the service; loops and their work end with it."""
    async with AsyncExitStack() as stack:
        bus = given if given is not None else await stack.enter_async_context(open_bus(settings.bus))
        peers = await stack.enter_async_context(open_peers(settings))
        database = Database(settings.database_url)
        stack.push_async_callback(database.close)
        group = await stack.enter_async_context(_background())
        vault, locations = Vault(settings.secret_key), locations_of(settings)
        source = Source(settings.data / "registry", locations)
        group.create_task(source.warn(), name="git version")
        origins, doorbell = Origins(database, vault), Doorbell(bus, group)
        deployer = Deployer(database, source, origins, doorbell, group, processes=runs_processes(settings))
        poller = Poller(database, source, origins, deployer, group)
        remover = Remover(database, source, peers.scheduler)
        for loop in (deployer.loop, poller.loop, remover.loop):
            group.create_task(loop.run(), name=loop.name)
        yield Parts(settings, database, vault, locations, source, origins, deployer, remover, doorbell, peers)


class _Stopped(Exception):
    """The service ends, and with it its background work: all of it can be repeated."""


@asynccontextmanager
async def _background() -> AsyncIterator[asyncio.TaskGroup]:
    try:
        async with asyncio.TaskGroup() as group:
            yield group
            raise _Stopped
    except* _Stopped:
        pass


def runs_processes(settings: Settings) -> bool:
    """As `mlmesh up` says to all; a registry that was told nothing of the workers' runtime does not know."""
    return "runtime" in settings.model_fields_set and settings.runtime.startswith("process")


def locations_of(settings: Settings) -> Locations:
    """What the mesh itself keeps is of other apps, too."""
    own = [settings.data, settings.scratch_folder]
    if settings.store_url.startswith("file://"):
        own.append(Path(settings.store_url.removeprefix("file://")))
    return Locations(Folders(settings.repository_folders, own), settings.repository_reach)
