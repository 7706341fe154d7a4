"""What five idle services in one process cost: memory and share of a core, with more and more idle components."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.figures import Figure
from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from tests.e2e.application import COMPONENT, Application

MEMORY_LIMIT_MB = 150.0
CPU_LIMIT_PERCENT = 1.0
"""Of one core, without an app and with an app of one component."""
EACH_LIMIT_PERCENT = 0.03
"""Of one core, for each further component that runs."""
COMPONENTS = (10, 30)
SETTLE_S = 45.0
"""After it a healthy instance and a quiet log are looked at seldom."""
MEASURED_S = 30.0


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        mesh = Mesh(Path(folder))
        try:
            mesh.start()
            yield from shown(mesh.pid, cpu_percent(mesh.pid, 5.0), "without an app")
            with closing(Api(mesh.url, mesh.token)) as api:
                app = Application(mesh, api)
                app.start()
                app.ended(app.submit().headers["Location"])
                one = cpu_percent(mesh.pid, SETTLE_S)
                yield from shown(mesh.pid, one, "with an app of one component, after a run")
                for count in COMPONENTS:
                    assert app.deployed({"manifests/shout.yml": several(count)})["status"] == "live"
                    beyond, more = cpu_percent(mesh.pid, SETTLE_S) - one, count - 1
                    note = f"of a core, beyond one component: {beyond / more:.3f} % for each further one"
                    yield Figure(f"idle: {count} components", beyond, more * EACH_LIMIT_PERCENT, "%", note)
        finally:
            mesh.stop()


def several(count: int) -> str:
    """The manifests of so many components and their APIs; the first is the application's own."""
    others = (f"shout-{number}" for number in range(1, count))
    more = (COMPONENT.replace("shout", name).replace(f"service:{name}", "service:shout") for name in others)
    return "---\n".join([COMPONENT, *more])


def shown(process: int, cpu: float, when: str) -> Iterator[Figure]:
    yield Figure("idle: memory", memory_mb(process), MEMORY_LIMIT_MB, "MB", when)
    yield Figure("idle: processor", cpu, CPU_LIMIT_PERCENT, "%", f"of a core, over {MEASURED_S:.0f} s, {when}")


def cpu_percent(process: int, settle: float, measured: float = MEASURED_S, *, children: bool = False) -> float:
    """The share of one core that the process takes, of 100, over `measured` seconds once it has settled."""
    time.sleep(settle)
    before = cpu_seconds(process, children=children)
    time.sleep(measured)
    return (cpu_seconds(process, children=children) - before) / measured * 100


def cpu_seconds(process: int, *, children: bool = False) -> float:
    """`children`: with those of its processes that have ended."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if children else 13])) / os.sysconf("SC_CLK_TCK")


def memory_mb(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
