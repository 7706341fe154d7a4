"""The composition of the service."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from libs.common.bus import Bus, open_bus
from libs.common.disk import Disk
from libs.common.http.app import Check, service
from libs.common.http.client import open_peers
from libs.common.periodic_task import Loop
from libs.common.settings import Settings
from services.worker.claimer import Consumer
from services.worker.context import Host, installation
from services.worker.files.checkout import Checkouts
from services.worker.files.file_cache import Shelf
from services.worker.files.models import Models
from services.worker.heartbeat import Sync
from services.worker.held_tasks import Holdings
from services.worker.lease_runner import Runner
from services.worker.runtime import Runtime
from services.worker.runtime.process.environments import Environments
from services.worker.runtime.process.runtime import ProcessRuntime

CONVERGE_S = 5.0
SWEEP_S = 60.0
SYNC_PAUSE_S = 0.005
"""Between two heartbeats: changes that come together travel together."""
STOP_S = 25.0
"""How long a stopping worker waits for what it hands back."""


def create(settings: Settings, bus: Bus | None = None) -> FastAPI:
    """The service as an ASGI app; it opens the bus of its settings unless it is given one."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            line: Bus = bus if bus is not None else await stack.enter_async_context(open_bus(settings.bus))
            host = await stack.enter_async_context(open_host(settings))
            app.state.bus, app.state.runtime = line, host.runtime
            async with working(host, line) as holdings:
                app.state.holdings = holdings
                yield

    def checks() -> Mapping[str, Check]:
        runtime = app.state.runtime
        disk = Disk(settings.scratch_folder, settings.disk_reserve)
        found = {"bus": app.state.bus.ready, "runtime": runtime.ready, "gateway": runtime.reached}
        return {**found, "disk": disk.ready}

    app = service("worker", settings, lifespan=lifespan, checks=checks)
    return app


@asynccontextmanager
async def open_host(settings: Settings) -> AsyncIterator[Host]:
    worker = settings.worker_name or socket.gethostname()
    mesh = installation(settings.internal_token)
    docker = settings.runtime.startswith("docker:")
    cache = (settings.scratch_folder if docker else settings.data) / "cache"
    async with open_peers(settings) as peers, open_runtime(settings, worker, mesh, cache) as runtime:
        yield Host(
            settings=settings,
            worker=worker,
            installation=mesh,
            peers=peers,
            runtime=runtime,
            checkouts=Checkouts(cache / "source", peers.registry),
            models=Models(cache / "models", peers),
            shelf=Shelf(cache / "files", link=docker),
            serve=None if docker else component_program(),
            with_source=not docker,
        )


@asynccontextmanager
async def open_runtime(settings: Settings, worker: str, installation: str, cache: Path) -> AsyncIterator[Runtime]:
    if settings.runtime.startswith("docker:"):
        from services.worker.runtime.docker.runtime import DockerRuntime

        async with DockerRuntime(settings, worker, installation) as docker:
            yield docker
        return
    environments = Environments(cache / "environments")
    async with ProcessRuntime(settings, worker, installation, environments) as process:
        yield process


def component_program() -> Path:
    found = importlib.util.find_spec("mlmesh_component")
    if found is None or found.origin is None:
        raise RuntimeError("the component runtime is not installed")
    return Path(found.origin).parent.parent / "serve.py"


@asynccontextmanager
async def working(host: Host, bus: Bus) -> AsyncIterator[Holdings]:
    """The worker's loops. At the end what it holds is handed back, or left to run where the engine outlives it."""
    settings, holdings = host.settings, Holdings(host.settings.worker_slots)
    leave = not host.with_source
    async with asyncio.TaskGroup() as tasks, asyncio.TaskGroup() as loops:
        runner = Runner(host, holdings, tasks)
        await runner.adopt()
        sync = Sync(settings, host.worker, holdings, host.peers.scheduler)
        consumer = Consumer(settings, host.worker, holdings, host.peers.scheduler, runner.begin)
        getting = [loops.create_task(consumer.listen(bus, one)) for one in settings.worker_classes]
        getting.append(loops.create_task(consumer.loop.run()))
        beating = [
            loops.create_task(Loop("sync", sync.step, SYNC_PAUSE_S, back_off=settings.lease / 5).run()),
            loops.create_task(Loop("converge", host.runtime.converge, CONVERGE_S).run()),
            loops.create_task(Loop("sweep", runner.sweep, SWEEP_S).run()),
        ]
        try:
            yield holdings
        finally:
            await ended(getting)
            if not leave:
                await hand_back(holdings)
            await ended(beating)
            await runner.leave()
            await host.runtime.close(leave=leave)


async def ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def hand_back(holdings: Holdings) -> None:
    for holding in holdings.all():
        holding.give("return")
    try:
        async with asyncio.timeout(STOP_S):
            await holdings.until_empty()
    except TimeoutError:
        return  # their leases run out
