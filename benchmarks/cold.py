"""A cold start: the first call of a component that sleeps, beyond the start of the same process or container."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiodocker import Docker

from benchmarks import mesh
from benchmarks.bare import POLL_S, START_TIMEOUT_S, program, started
from benchmarks.figures import Figure, Finding, Unmeasured, median_ms
from deploy.demo.show import Failed
from tests.e2e.application import COMPONENT, FILES, FUNCTION, Application
from tests.servers.engine import Engine
from tests.servers.provision import Missing

LIMIT_MS = 100.0
STARTS = 7
ASLEEP_TIMEOUT_S = 60.0
REST_S = 1.0
"""Until what slept is removed, too: an engine takes its time over it, and makes others wait."""
SLEEPER = COMPONENT.replace("service:shout}", "service:shout}\n  scaling: {min: 0, idleTimeout: 1s}")
OWN_IMAGE = "mlmesh-benchmark/shout:1"
NAME = "cold start, beyond the {}"


def figures() -> Iterator[Finding]:
    with mesh.application() as app:
        app.start({**FILES, "manifests/shout.yml": SLEEPER})
        yield measured("process", app, lambda: started(*program(app.mesh.folder), app.mesh.folder))
    try:
        with mesh.docker() as (engine, image), mesh.application(engine) as app:
            build(engine, image)
            app.start({**FILES, "manifests/shout.yml": SLEEPER.replace("mlmesh-test/python:1", OWN_IMAGE)})
            yield measured("container", app, lambda: asyncio.run(in_container(engine)))
    except Missing as missing:
        yield Unmeasured(NAME.format("container"), str(missing))


def build(engine: Engine, image: str) -> None:
    with TemporaryDirectory() as folder:
        Path(folder, "Dockerfile").write_text(f"FROM {image}\nCOPY service.py .\n")
        Path(folder, "service.py").write_text(FUNCTION)
        engine.run("build", "--quiet", "--tag", OWN_IMAGE, folder)


def measured(what: str, app: Application, by_hand: Callable[[], float]) -> Figure:
    """In turn: while the instance that was just woken still runs, the same is started by hand."""
    cold, bare = zip(*((woken(app), by_hand()) for _ in range(STARTS)), strict=True)
    note = f"{median_ms(cold):.0f} ms in all, the bare {what} {median_ms(bare):.0f} ms; medians of {STARTS}"
    return Figure(NAME.format(what), median_ms(cold) - median_ms(bare), LIMIT_MS, "ms", note)


def woken(app: Application) -> float:
    began = time.monotonic()
    while app.api.get(f"{app.path}/components/shout")["status"] != "asleep":
        if time.monotonic() - began > ASLEEP_TIMEOUT_S:
            raise Failed(f"the component was awake after {ASLEEP_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)
    time.sleep(REST_S)
    began = time.monotonic()
    answer = app.shout()
    if answer.status != 200 or "cold" not in answer.headers.get("Server-Timing", ""):
        raise Failed(f"the first call was answered with {answer.status}: {answer.body.decode()}")
    return time.monotonic() - began


async def in_container(engine: Engine) -> float:
    """Seconds until a container like the instance's is ready: made, started and asked with the engine's API."""
    async with Docker(engine.url) as docker:
        shown = await _instance(docker)
        [(network, _)] = shown["NetworkSettings"]["Networks"].items()
        config = {name: value for name, value in shown["Config"].items() if name != "Labels"}
        began = time.monotonic()
        container = await docker.containers.create({**config, "HostConfig": shown["HostConfig"]})
        try:
            await container.start()
            address = (await container.show())["NetworkSettings"]["Networks"][network]["IPAddress"]
            await asyncio.to_thread(_until_ready, address, _environ(config))
            return time.monotonic() - began
        finally:
            await container.delete(force=True)


async def _instance(docker: Docker) -> dict[str, Any]:
    for found in await docker.containers.list(filters={"ancestor": [OWN_IMAGE], "status": ["running"]}):
        return await found.show()
    raise Failed("no instance of the component runs")


def _environ(config: dict[str, Any]) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in config["Env"])


def _until_ready(address: str, environ: dict[str, str]) -> None:
    began = time.monotonic()
    while time.monotonic() - began < START_TIMEOUT_S:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(address, int(environ["MLMESH_PORT"]), timeout=1.0)
            connection.request("GET", "/readyz", headers={"X-Mlmesh-Token": environ["MLMESH_INSTANCE_TOKEN"]})
            if connection.getresponse().status == 200:
                return
        time.sleep(POLL_S)
    raise Failed("the bare container was not ready")
