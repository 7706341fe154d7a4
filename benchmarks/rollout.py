"""Rollouts under load: how many of the calls that come meanwhile fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import mesh
from benchmarks.figures import Figure, Finding, Unmeasured
from deploy.demo.show import Failed
from tests.e2e.application import COMPONENT, FILES, FUNCTION, Application
from tests.e2e.load import Load
from tests.servers.provision import Missing

RATE = 300.0
"""Calls a second."""
ROLLOUTS = 10
NONE = 0.5
"""A limit that one failure is over."""
NAME = "rollouts on {}: calls that failed"


def figures() -> Iterator[Finding]:
    with mesh.application() as app:
        yield measured("processes", app, COMPONENT)
    try:
        with mesh.docker() as (engine, image), mesh.application(engine) as app, TemporaryDirectory() as folder:
            own = "mlmesh-benchmark/shout:1"
            Path(folder, "Dockerfile").write_text(f"FROM {image}\nCOPY service.py .\n")
            Path(folder, "service.py").write_text(FUNCTION)
            engine.run("build", "--quiet", "--tag", own, folder)
            yield measured("docker", app, COMPONENT.replace("mlmesh-test/python:1", own))
    except Missing as missing:
        yield Unmeasured(NAME.format("docker"), str(missing))


def measured(runtime: str, app: Application, component: str) -> Figure:
    manifest = component.replace("service:shout}", "service:shout, concurrency: 8}")
    app.start({**FILES, "manifests/shout.yml": manifest})
    with Load(app, RATE) as load:
        for number in range(ROLLOUTS):
            found = app.deployed({"service.py": f"{FUNCTION}# version {number}\n"})
            if found["status"] != "live":
                raise Failed(f"rollout {number} failed: {found}")
    slowest = max(one.seconds for one in load.told) * 1000
    note = f"of {len(load.told)} at {RATE:.0f}/s during {ROLLOUTS} rollouts; the slowest took {slowest:.0f} ms"
    if load.failed:
        note += f"; {load.statuses}; the first: {load.failed[0]}"
    return Figure(NAME.format(runtime), len(load.failed), NONE, "", note)
