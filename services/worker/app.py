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
from libs.common.http.app import ReadinessCheck, create_app
from libs.common.http.client import open_service_clients
from libs.common.periodic_task import PeriodicTask
from libs.common.settings import Settings
from services.worker.claimer import TaskClaimer
from services.worker.context import WorkerContext, get_installation_id
from services.worker.files.checkout import CheckoutCache
from services.worker.files.file_cache import FileCache
from services.worker.files.models import ModelCache
from services.worker.heartbeat import HeartbeatSender
from services.worker.held_tasks import HeldTasks
from services.worker.image_collector import INTERVAL_S, ImageCollector
from services.worker.lease_runner import LeaseRunner
from services.worker.runtime import Runtime
from services.worker.runtime.process.environments import VirtualEnvironments
from services.worker.runtime.process.runtime import ProcessRuntime

RECONCILE_INTERVAL_S = 5.0
SWEEP_INTERVAL_S = 60.0
HEARTBEAT_PAUSE_S = 0.005
"""Pause between two heartbeats, so that simultaneous changes share one."""
STOP_TIMEOUT_S = 25.0
"""How long a stopping worker waits until its tasks are handed back."""


def create(settings: Settings, bus: Bus | None = None) -> FastAPI:
    """Build the service as an ASGI app. It opens the bus of its settings unless one is passed."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            message_bus: Bus = bus if bus is not None else await stack.enter_async_context(open_bus(settings.bus))
            context = await stack.enter_async_context(open_context(settings))
            app.state.bus, app.state.runtime = message_bus, context.runtime
            async with run_worker_loops(context, message_bus) as held_tasks:
                app.state.held_tasks = held_tasks
                yield

    def readiness_checks() -> Mapping[str, ReadinessCheck]:
        runtime = app.state.runtime
        disk = Disk(settings.scratch_folder, settings.disk_reserve)
        checks = {"bus": app.state.bus.ready, "runtime": runtime.check_ready, "gateway": runtime.check_gateway}
        return {**checks, "disk": disk.ready}

    app = create_app("worker", settings, lifespan=lifespan, checks=readiness_checks)
    return app


@asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[WorkerContext]:
    worker = settings.worker_name or socket.gethostname()
    mesh = get_installation_id(settings.internal_token)
    docker = settings.runtime.startswith("docker:")
    cache = (settings.scratch_folder if docker else settings.data) / "cache"
    async with open_service_clients(settings) as peers, open_runtime(settings, worker, mesh, cache) as runtime:
        checkouts = CheckoutCache(cache / "builds" / worker if docker else cache / "source", peers.registry)
        if docker:
            await checkouts.clear()
        yield WorkerContext(
            settings=settings,
            worker=worker,
            installation=mesh,
            peers=peers,
            runtime=runtime,
            checkouts=checkouts,
            models=ModelCache(cache / "models", peers),
            file_cache=FileCache(cache / "files", hard_links=docker),
            component_program=None if docker else find_component_program(),
            needs_source=not docker,
        )


@asynccontextmanager
async def open_runtime(settings: Settings, worker: str, installation: str, cache: Path) -> AsyncIterator[Runtime]:
    if settings.runtime.startswith("docker:"):
        from services.worker.runtime.docker.runtime import DockerRuntime

        async with DockerRuntime(settings, worker, installation) as docker:
            yield docker
        return
    environments = VirtualEnvironments(cache / "environments")
    async with ProcessRuntime(settings, worker, installation, environments) as process:
        yield process


def find_component_program() -> Path:
    module_spec = importlib.util.find_spec("mlmesh_component")
    if module_spec is None or module_spec.origin is None:
        raise RuntimeError("the component runtime is not installed")
    return Path(module_spec.origin).parent.parent / "serve.py"


@asynccontextmanager
async def run_worker_loops(context: WorkerContext, bus: Bus) -> AsyncIterator[HeldTasks]:
    """Run the worker's loops. On exit, hand back held tasks, or leave them on an engine that outlives the worker."""
    settings, held_tasks = context.settings, HeldTasks(context.settings.worker_slots)
    detach, scheduler = not context.needs_source, context.peers.scheduler
    async with asyncio.TaskGroup() as tasks, asyncio.TaskGroup() as loops:
        runner = LeaseRunner(context, held_tasks, tasks)
        await runner.adopt_existing()
        collector = ImageCollector(context)
        heartbeat = HeartbeatSender(
            settings, context.worker, held_tasks, scheduler, context.task_kinds, context.runtime.engine
        )
        claimer = TaskClaimer(
            settings,
            context.worker,
            held_tasks,
            scheduler,
            runner.start_lease,
            context.task_kinds,
            context.runtime.engine,
        )
        claim_loops = [
            loops.create_task(claimer.consume_notifications(bus, resource_class))
            for resource_class in settings.worker_classes
        ]
        claim_loops.append(loops.create_task(claimer.poll_loop.run()))
        service_loops = [
            loops.create_task(
                PeriodicTask("sync", heartbeat.run_once, HEARTBEAT_PAUSE_S, max_back_off=settings.lease / 5).run()
            ),
            loops.create_task(PeriodicTask("converge", context.runtime.reconcile, RECONCILE_INTERVAL_S).run()),
            loops.create_task(PeriodicTask("sweep", runner.remove_orphans, SWEEP_INTERVAL_S).run()),
            loops.create_task(PeriodicTask("images", collector.run_once, INTERVAL_S).run()),
        ]
        try:
            yield held_tasks
        finally:
            await cancel_and_wait(claim_loops)
            if not detach:
                await return_held_tasks(held_tasks)
            await cancel_and_wait(service_loops)
            await runner.detach()
            await context.runtime.close(detach=detach)


async def cancel_and_wait(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def return_held_tasks(held_tasks: HeldTasks) -> None:
    for held_task in held_tasks.list_tasks():
        held_task.set_order("return")
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await held_tasks.wait_until_empty()
    except TimeoutError:
        return  # the leases expire
