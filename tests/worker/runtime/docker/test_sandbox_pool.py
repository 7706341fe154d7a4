"""The sandbox pool on a real engine: stages join sandboxes one at a time, and run without them, too."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiodocker import Docker

from services.worker.runtime.docker import pause_image, sandbox_pool
from services.worker.runtime.docker.client import open_engine
from services.worker.runtime.docker.sandbox_pool import IMAGE, Sandbox, SandboxPool
from tests.servers.engine import Engine
from tests.worker.docker_host import DockerHost
from tests.worker.fake_mesh import FakeMesh

PATIENCE_S = 60.0
NETWORK = "bridge"
NAMESPACE = "import os; print(os.readlink('/proc/self/ns/net'))"


@pytest.fixture
def installation(docker_engine: Engine) -> Iterator[str]:
    name = uuid.uuid4().hex[:12]
    yield name
    docker_engine.clear(name)


@pytest.fixture
async def docker(docker_engine: Engine) -> AsyncIterator[Docker]:
    async with open_engine(docker_engine.runtime) as client:
        yield client


async def open_pool(docker: Docker, installation: str, worker: str = "w1", max_idle: int = 2) -> SandboxPool:
    pool = SandboxPool(docker, worker, installation, max_idle)
    await pool.open()
    return pool


async def wait_until(check: Callable[[], Any]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while not (result := check()):  # noqa: ASYNC110  what is awaited is the engine's
            await asyncio.sleep(0.02)
        return result


async def acquire_soon(pool: SandboxPool, container: str) -> Sandbox:
    """Asks again only when what it began by asking has ended, or the pool would make more than are asked for."""
    async with asyncio.timeout(PATIENCE_S):
        while (sandbox := pool.acquire(container, NETWORK, "leaf")) is None:
            await asyncio.wait(pool._tasks)
        return sandbox


def list_containers(engine: Engine, installation: str) -> set[str]:
    listed = engine.run("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label=mlmesh.installation={installation}")
    return set(listed.split())


async def test_one_is_made_for_those_that_come_after_the_first(
    docker: Docker, docker_engine: Engine, installation: str
) -> None:
    pool = await open_pool(docker, installation)
    assert pool.acquire("c1", NETWORK, "leaf") is None
    first = await acquire_soon(pool, "c2")
    assert pool.acquire("c2", NETWORK, "leaf") == first, "it may ask again"
    second = await acquire_soon(pool, "c3")
    assert first != second, "each has its own"
    assert pool.acquire("c4", "none", "oak") is None, "of another network"
    pool.release("c2")
    pool.release("c2")
    assert pool.acquire("c5", NETWORK, "leaf") == first
    for container in ("c3", "c5"):
        pool.release(container)
    await pool.close()
    assert list_containers(docker_engine, installation) == set()


async def test_of_those_that_nobody_uses_a_few_are_kept(
    docker: Docker, docker_engine: Engine, installation: str
) -> None:
    pool = await open_pool(docker, installation, max_idle=1)
    first, second = await acquire_soon(pool, "c1"), await acquire_soon(pool, "c2")
    pool.release("c1")
    pool.release("c2")
    await wait_until(lambda: list_containers(docker_engine, installation) == {second.id})
    assert first != second
    await pool.close()


async def test_one_that_was_ended_is_no_good(docker: Docker, docker_engine: Engine, installation: str) -> None:
    pool = await open_pool(docker, installation)
    for command in (("kill",), ("rm", "--force")):
        first = await acquire_soon(pool, "c1")
        assert await pool.is_running("c1")
        docker_engine.run(*command, first.id)
        assert not await pool.is_running("c1")
        assert await acquire_soon(pool, "c1") != first
        pool.release("c1")
    await pool.close()


async def test_what_an_earlier_worker_left_goes_once_nothing_has_joined_it(
    docker: Docker, docker_engine: Engine, installation: str, python_image: str
) -> None:
    earlier, other = await open_pool(docker, installation), await open_pool(docker, installation, worker="w2")
    joined, free, foreign = (
        await acquire_soon(earlier, "c1"),
        await acquire_soon(earlier, "c2"),
        await acquire_soon(other, "c3"),
    )
    label = f"mlmesh.installation={installation}"
    docker_engine.run(
        "run", "--detach", "--name", installation, "--label", label, "--network", f"container:{joined.id}",
        python_image, "sleep", "600",
    )  # fmt: skip
    stage = docker_engine.run("inspect", "--format", "{{.Id}}", installation)
    pool = await open_pool(docker, installation)
    await pool.reconcile()
    assert list_containers(docker_engine, installation) == {joined.id, foreign.id, stage}, free
    docker_engine.run("rm", "--force", stage)
    await pool.reconcile()
    assert list_containers(docker_engine, installation) == {foreign.id}


async def test_what_nobody_uses_for_long_goes(
    docker: Docker, docker_engine: Engine, installation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await open_pool(docker, installation)
    first, second = await acquire_soon(pool, "c1"), await acquire_soon(pool, "c2")
    pool.release("c1")
    await pool.reconcile()
    assert list_containers(docker_engine, installation) == {first.id, second.id}
    monkeypatch.setattr(sandbox_pool, "IDLE_S", -1.0)
    await pool.reconcile()
    assert list_containers(docker_engine, installation) == {second.id}
    docker_engine.run("kill", second.id)
    await pool.reconcile()
    assert list_containers(docker_engine, installation) == set()


async def test_its_image_is_made_when_it_is_missing(docker: Docker, docker_engine: Engine, installation: str) -> None:
    pool = await open_pool(docker, installation)
    await acquire_soon(pool, "c1")
    docker_engine.run("rmi", "--force", IMAGE)
    await acquire_soon(pool, "c2")
    assert docker_engine.has_image(IMAGE)
    await pool.close()


async def test_none_is_made_where_its_program_would_not_run(
    docker: Docker, installation: str, docker_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pause_image, "ARCHITECTURE", "another")
    pool = await open_pool(docker, installation)
    assert pool.acquire("c1", NETWORK, "leaf") is None
    await pool.close()
    assert list_containers(docker_engine, installation) == set()


async def run_stage(mesh: FakeMesh, host: DockerHost, task: str) -> str:
    """Run a stage; return its network namespace."""
    mesh.reports.clear()
    host.add_stage(NAMESPACE, task)
    assert (await mesh.wait_for_report())["outcome"] == "succeeded"
    return str((await mesh.wait_until(lambda: mesh.logs.get(f"log-{task}"))).decode())


async def test_stages_go_on_when_their_sandbox_is_taken_away(mesh: FakeMesh, host: DockerHost) -> None:
    async with host.run_worker():
        namespaces: list[str] = []
        async with asyncio.timeout(60):
            while len(set(namespaces)) == len(namespaces):  # until one has joined a sandbox
                namespaces.append(await run_stage(mesh, host, f"t{len(namespaces)}"))
        stages = set(host.engine.run("ps", "--quiet", "--no-trunc", "--filter", "label=mlmesh.worker").split())
        for sandbox in list_containers(host.engine, host.installation) - stages:
            host.engine.run("rm", "--force", sandbox)
        await run_stage(mesh, host, "last")
