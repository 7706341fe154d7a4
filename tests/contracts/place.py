"""A host with a runtime, as the contract needs it: containers that run a program, and what is asked of them."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from libs.common.settings import Settings
from services.worker import app
from services.worker.runtime import Exit, Runtime, RuntimeFailure
from services.worker.runtime.spec import ContainerSite, ContainerSpec, Mount, build_instance_container
from tests.worker.specs import make_instance_spec, make_lease


class Place:
    """A host with a runtime; `worker()` opens it as a worker of the name."""

    def __init__(self, settings: Settings, image: str, stack: AsyncExitStack) -> None:
        self.settings, self.image, self._stack = settings, image, stack
        self.installation = uuid.uuid4().hex[:8]
        self.docker = settings.runtime.startswith("docker")
        self.scratch = settings.scratch_folder

    async def worker(self, name: str = "one") -> Runtime:
        opened = app.open_runtime(self.settings, name, self.installation, self.scratch / "cache")
        return await self._stack.enter_async_context(opened)

    def python(self, program: str, *, task: str = "t1", worker: str = "one", **more: Any) -> ContainerSpec:
        """A container that runs `program`."""
        name = f"mlmesh-{self.installation}-{task}"
        owner = {"mlmesh.installation": self.installation, "mlmesh.worker": worker}
        wanted = ContainerSpec(
            name=name,
            app="leaf",
            labels={**owner, "mlmesh.task": task, "mlmesh.attempt": "1", "mlmesh.kind": "stage", "mlmesh.app": "leaf"},
            image=self.image,
            command=("python3", "-u", "-c", program),
            env={},
            folder=self.scratch / "tasks" / worker / name,
        )
        return replace(wanted, **more)

    def shared(self, name: str) -> Path:
        """A folder that containers may use."""
        folder = self.scratch / name
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        return folder


def silent(_progress: str) -> None:
    """Nobody looks."""


async def started(runtime: Runtime, wanted: ContainerSpec) -> str:
    await runtime.prepare(wanted, silent)
    await runtime.start(wanted)
    return wanted.name


async def text(runtime: Runtime, name: str, offset: int = 0) -> bytes:
    return b"".join([piece async for piece in runtime.follow_log(name, offset)])


async def said(runtime: Runtime, name: str, wanted: bytes) -> None:
    """Until the log holds `wanted`."""
    found = b""
    async for piece in runtime.follow_log(name, 0):
        found += piece
        if wanted in found:
            return
    raise AssertionError(f"it ended after {found!r}")


async def fate(runtime: Runtime, wanted: ContainerSpec) -> Exit | str:
    """How it ended, or why it could not start."""
    try:
        return await runtime.wait(await started(runtime, wanted))
    except RuntimeFailure as error:
        return error.detail


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    while not await check():  # noqa: ASYNC110  what is awaited is outside this process
        await asyncio.sleep(0.02)


async def answers(session: aiohttp.ClientSession, path: str) -> bool:
    try:
        async with session.get(path) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def component(place: Place, module: Path) -> ContainerSpec:
    instance = make_instance_spec(
        component="double", image=place.image, inference="double:double", env={"PYTHONPATH": str(module)}
    )
    lease = make_lease(instance, task=f"{place.installation}-i1", app="leaf")
    site = ContainerSite(
        worker="one",
        installation=place.installation,
        folder=place.scratch / "tasks" / "one" / lease.container_name,
        mesh_url="http://mesh",
        component_program=None if place.docker else app.find_component_program(),
    )
    wanted = build_instance_container(lease, instance, site, None, {})
    command = wanted.command if place.docker else (sys.executable, *(wanted.command or ())[1:])
    return replace(wanted, command=command, mounts=(Mount(module, read_only=True),))
