"""A rollback: from the start of `mlmesh deployment rollback` to the first answer of the version before."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import mesh
from benchmarks.bare import POLL_S
from benchmarks.figures import Figure, Finding, Unmeasured, median_ms
from deploy.demo.api import Api
from deploy.demo.mesh import MLMESH
from deploy.demo.show import Failed
from tests.e2e.application import COMPONENT, FILES, Application
from tests.servers.engine import Engine
from tests.servers.provision import Missing

ROLLBACKS = 7
LIMIT_MS = 2000.0
START_S = 3.0
"""How long the component takes to start, as one that loads a large model does."""
LIVE_TIMEOUT_S = 60.0
VERSIONS = ("one", "two")
FUNCTION = (
    "import time\n\ntime.sleep({seconds})\n\n\n"
    "def shout(text: str, times: int = 1) -> dict:\n    return {{'said': {version!r}}}\n"
)
NAME = "rollback on {}: from the command to the first answer"


def figures() -> Iterator[Finding]:
    with mesh.application() as app:
        yield measured("processes", app, lambda version: {"service.py": source(version)})
    try:
        with mesh.docker() as (engine, python), mesh.application(engine) as app:
            for version in VERSIONS:
                build(engine, python, version)
            yield measured("Docker", app, lambda version: {"manifests/shout.yml": manifest(version)})
    except Missing as missing:
        yield Unmeasured(NAME.format("Docker"), str(missing))


def source(version: str) -> str:
    return FUNCTION.format(seconds=START_S, version=version)


def manifest(version: str) -> str:
    return COMPONENT.replace("mlmesh-test/python:1", f"mlmesh-benchmark/rollback:{version}")


def build(engine: Engine, python: str, version: str) -> None:
    with TemporaryDirectory() as folder:
        Path(folder, "Dockerfile").write_text(f"FROM {python}\nCOPY service.py .\n")
        Path(folder, "service.py").write_text(source(version))
        engine.run("build", "--quiet", "--tag", f"mlmesh-benchmark/rollback:{version}", folder)


def measured(runtime: str, app: Application, make_files: Callable[[str], dict[str, str]]) -> Figure:
    app.start({**FILES, **make_files(VERSIONS[0])})
    deployment = app.deployed(make_files(VERSIONS[1]))
    if deployment["status"] != "live":
        raise Failed(f"the second version did not become live: {deployment}")
    wait_for_answer(app, VERSIONS[1])
    seconds = [roll_back(app, VERSIONS[number % 2]) for number in range(ROLLBACKS)]
    slowest = max(seconds) * 1000
    note = f"median of {ROLLBACKS}, the slowest {slowest:.0f} ms; the component takes {START_S} s to start"
    return Figure(NAME.format(runtime), median_ms(seconds), LIMIT_MS, "ms", note)


def roll_back(app: Application, version: str) -> float:
    """Seconds until the version before answers."""
    began = time.monotonic()
    command = subprocess.Popen(
        [MLMESH, "deployment", "rollback", app.name], env=app.mesh.environ, stdout=subprocess.DEVNULL
    )
    wait_for_answer(app, version)
    seconds = time.monotonic() - began
    if command.wait() != 0:
        raise Failed("the rollback was refused")
    return seconds


def wait_for_answer(app: Application, version: str) -> None:
    deadline = time.monotonic() + LIVE_TIMEOUT_S
    with closing(Api(app.mesh.url, "")) as api:
        while answer(app, api) != version:
            if time.monotonic() > deadline:
                raise Failed(f"{version} did not answer within {LIVE_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)


def answer(app: Application, api: Api) -> str | None:
    found = app.shout(api=api)
    return str(found.json()["outputs"][0]["data"]) if found.status == 200 else None
