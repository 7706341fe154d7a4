"""A Docker Engine or worker that disappears during a stage: nothing runs twice, and nothing remains."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiodocker.containers import DockerContainer, DockerContainers

from libs.common.errors import Unavailable
from services.worker.runtime.docker.networks import AppNetworks
from services.worker.runtime.docker.runtime import DockerRuntime
from tests.worker.docker_host import DockerHost
from tests.worker.fake_mesh import FakeMesh
from tests.worker.specs import OUTPUT


async def test_a_killed_workers_container_is_finished_by_the_next(mesh: FakeMesh, host: DockerHost) -> None:
    script = (
        "import os, time; print('one'); time.sleep(2); open(os.environ['UNIP_PIPELINE_OUT'] + '/f', 'w').write('x')"
    )
    host.add_stage(script, outputs=[OUTPUT])
    async with host.run_worker():
        await mesh.wait_until(lambda: mesh.logs.get("log-t1"))
    assert mesh.reports == []
    async with host.run_worker():
        report = await mesh.wait_for_report()
        await mesh.wait_until(lambda: "log-t1" in mesh.ended_logs)
    assert (report["outcome"], mesh.files["runs/r/s/1/out/f"], mesh.logs["log-t1"]) == ("succeeded", b"x", b"one\n")


@pytest.mark.parametrize(("signal", "outcome"), [("TERM", "lost"), ("USR1", "failed")])
async def test_a_container_that_a_signal_ended_while_no_worker_looked_is_lost(
    mesh: FakeMesh, host: DockerHost, signal: str, outcome: str
) -> None:
    """The same happens in a restart of the host: the engine stops its containers."""
    host.add_stage(
        "import signal, time; signal.signal(signal.SIGUSR1, lambda *_: exit(5)); print('here'); time.sleep(60)"
    )
    async with host.run_worker():
        await mesh.wait_until(lambda: mesh.logs.get("log-t1"))
    name = host.inspect_containers()[0]["Id"]
    host.engine.run("kill", f"--signal={signal}", name)
    host.engine.run("wait", name)
    async with host.run_worker():
        assert (await mesh.wait_for_report())["outcome"] == outcome


@pytest.mark.parametrize(("unanswered", "outcome"), [("create", "succeeded"), ("start", "lost")])
async def test_an_engine_that_goes_away_in_a_start_may_have_begun_it(
    mesh: FakeMesh, host: DockerHost, monkeypatch: pytest.MonkeyPatch, unanswered: str, outcome: str
) -> None:
    """A created container is started; an interrupted start is lost, because the command may have run."""
    kind = DockerContainers if unanswered == "create" else DockerContainer
    call = getattr(kind, unanswered)

    async def away(*arguments: Any, **named: Any) -> Any:
        name = arguments[0].id if unanswered == "start" else named.get("name") or ""
        if "t1" not in name:
            return await call(*arguments, **named)  # a sandbox
        monkeypatch.undo()
        if unanswered == "create":
            await call(*arguments, **named)
        raise aiohttp.ServerDisconnectedError

    monkeypatch.setattr(kind, unanswered, away)
    host.add_stage("print('here')")
    async with host.run_worker():
        assert (await mesh.wait_for_report())["outcome"] == outcome
    assert host.inspect_containers() == []


@pytest.mark.parametrize(
    ("kind", "call", "timeout", "outcome"),
    [
        (AppNetworks, "ensure_network", 60, "succeeded"),
        (DockerRuntime, "prepare", 60, "succeeded"),
        (DockerRuntime, "take_ownership", 60, "succeeded"),
        (DockerRuntime, "stop", 1, "failed"),
    ],
)
async def test_an_engine_that_is_away_for_a_moment_is_waited_for(
    mesh: FakeMesh,
    host: DockerHost,
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
    call: str,
    timeout: float,
    outcome: str,
) -> None:
    done = getattr(kind, call)
    answers: list[str] = []

    async def away(*arguments: Any, **named: Any) -> Any:
        if not answers:
            answers.append("none")
            raise Unavailable("the engine is away")
        return await done(*arguments, **named)

    monkeypatch.setattr(kind, call, away)
    host.add_stage("import time; print('here'); time.sleep(TIME)".replace("TIME", "60" if call == "stop" else "0"),
               timeout=timeout)  # fmt: skip
    async with host.run_worker():
        report = await mesh.wait_for_report()
    assert (report["outcome"], answers) == (outcome, ["none"])
    assert call != "stop" or report["reason"]["code"] == "timeout"


async def test_a_container_without_a_lease_is_removed(mesh: FakeMesh, host: DockerHost) -> None:
    host.add_stage("import time; time.sleep(600)")
    async with host.run_worker():
        await mesh.wait_for_status(state="running")
    for file in host.folder.glob("scratch/tasks/w1/*/lease.json"):
        file.unlink()
    async with host.run_worker():
        async with asyncio.timeout(30.0):
            while host.inspect_containers():  # noqa: ASYNC110  what is awaited is the engine's
                await asyncio.sleep(0.1)
    assert mesh.reports == []
