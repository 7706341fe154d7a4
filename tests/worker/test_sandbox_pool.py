"""Sandboxes on a real engine: stages join them one at a time, and nothing depends on them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiodocker import Docker

from services.worker.runtime.docker import pause_image, sandbox_pool
from services.worker.runtime.docker.client import open_engine
from services.worker.runtime.docker.sandbox_pool import IMAGE, Sandbox, Sandboxes
from tests.servers.engine import Engine
from tests.worker.docker_host import Host
from tests.worker.fake_mesh import SmallMesh

PATIENCE_S = 60.0
NETWORK = "bridge"
NAMESPACE = "import os; print(os.readlink('/proc/self/ns/net'))"


@pytest.fixture
def installation(docker_engine: Engine) -> Iterator[str]:
    found = uuid.uuid4().hex[:12]
    yield found
    docker_engine.clear(found)


@pytest.fixture
async def docker(docker_engine: Engine) -> AsyncIterator[Docker]:
    async with open_engine(docker_engine.runtime) as found:
        yield found


async def opened(docker: Docker, installation: str, worker: str = "w1", most: int = 2) -> Sandboxes:
    found = Sandboxes(docker, worker, installation, most)
    await found.open()
    return found


async def until(check: Callable[[], Any]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while not (found := check()):  # noqa: ASYNC110  what is awaited is the engine's
            await asyncio.sleep(0.02)
        return found


async def taken(pool: Sandboxes, container: str) -> Sandbox:
    found = await until(lambda: pool.take(container, NETWORK, "leaf"))
    assert isinstance(found, Sandbox)
    return found


def there(engine: Engine, installation: str) -> set[str]:
    listed = engine.run("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label=mlmesh.installation={installation}")
    return set(listed.split())


async def test_one_is_made_for_those_that_come_after_the_first(
    docker: Docker, docker_engine: Engine, installation: str
) -> None:
    pool = await opened(docker, installation)
    assert pool.take("c1", NETWORK, "leaf") is None
    first = await taken(pool, "c2")
    assert pool.take("c2", NETWORK, "leaf") == first, "it may ask again"
    second = await taken(pool, "c3")
    assert first != second, "each has its own"
    assert pool.take("c4", "none", "oak") is None, "of another network"
    pool.give("c2")
    pool.give("c2")
    assert pool.take("c5", NETWORK, "leaf") == first
    for one in ("c3", "c5"):
        pool.give(one)
    await pool.close()
    assert there(docker_engine, installation) == set()


async def test_of_those_that_nobody_uses_a_few_are_kept(
    docker: Docker, docker_engine: Engine, installation: str
) -> None:
    pool = await opened(docker, installation, most=1)
    first, second = await taken(pool, "c1"), await taken(pool, "c2")
    pool.give("c1")
    pool.give("c2")
    await until(lambda: there(docker_engine, installation) == {second.id})
    assert first != second
    await pool.close()


async def test_one_that_was_ended_is_no_good(docker: Docker, docker_engine: Engine, installation: str) -> None:
    pool = await opened(docker, installation)
    for command in (("kill",), ("rm", "--force")):
        first = await taken(pool, "c1")
        assert await pool.stands("c1")
        docker_engine.run(*command, first.id)
        assert not await pool.stands("c1")
        assert await taken(pool, "c1") != first
        pool.give("c1")
    await pool.close()


async def test_what_an_earlier_worker_left_goes_once_nothing_has_joined_it(
    docker: Docker, docker_engine: Engine, installation: str, python_image: str
) -> None:
    left, other = await opened(docker, installation), await opened(docker, installation, worker="w2")
    joined, free, foreign = await taken(left, "c1"), await taken(left, "c2"), await taken(other, "c3")
    label = f"mlmesh.installation={installation}"
    docker_engine.run(
        "run", "--detach", "--name", installation, "--label", label, "--network", f"container:{joined.id}",
        python_image, "sleep", "600",
    )  # fmt: skip
    stage = docker_engine.run("inspect", "--format", "{{.Id}}", installation)
    pool = await opened(docker, installation)
    await pool.converge()
    assert there(docker_engine, installation) == {joined.id, foreign.id, stage}, free
    docker_engine.run("rm", "--force", stage)
    await pool.converge()
    assert there(docker_engine, installation) == {foreign.id}


async def test_what_nobody_uses_for_long_goes(
    docker: Docker, docker_engine: Engine, installation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await opened(docker, installation)
    first, second = await taken(pool, "c1"), await taken(pool, "c2")
    pool.give("c1")
    await pool.converge()
    assert there(docker_engine, installation) == {first.id, second.id}
    monkeypatch.setattr(sandbox_pool, "IDLE_S", -1.0)
    await pool.converge()
    assert there(docker_engine, installation) == {second.id}
    docker_engine.run("kill", second.id)
    await pool.converge()
    assert there(docker_engine, installation) == set()


async def test_its_image_is_made_when_it_is_missing(docker: Docker, docker_engine: Engine, installation: str) -> None:
    pool = await opened(docker, installation)
    await taken(pool, "c1")
    docker_engine.run("rmi", "--force", IMAGE)
    await taken(pool, "c2")
    assert docker_engine.has_image(IMAGE)
    await pool.close()


async def test_none_is_made_where_its_program_would_not_run(
    docker: Docker, installation: str, docker_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pause_image, "ARCHITECTURE", "another")
    pool = await opened(docker, installation)
    assert pool.take("c1", NETWORK, "leaf") is None
    await pool.close()
    assert there(docker_engine, installation) == set()


async def played(mesh: SmallMesh, host: Host) -> str:
    """The network namespace of one stage."""
    mesh.reports.clear()
    mesh.logs.clear()
    host.stage(NAMESPACE)
    assert (await mesh.report())["outcome"] == "succeeded"
    return str((await mesh.until(lambda: mesh.logs.get("log-t1"))).decode())


async def test_stages_go_on_when_their_sandbox_is_taken_away(mesh: SmallMesh, host: Host) -> None:
    async with host.worker():
        namespaces = [await played(mesh, host) for _ in range(4)]
        assert len(set(namespaces)) < 4, "some have joined a sandbox"
        stages = set(host.engine.run("ps", "--quiet", "--no-trunc", "--filter", "label=mlmesh.worker").split())
        for sandbox in there(host.engine, host.installation) - stages:
            host.engine.run("rm", "--force", sandbox)
        await played(mesh, host)
