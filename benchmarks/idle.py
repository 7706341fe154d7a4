"""What five idle services in one process cost: memory and share of a core."""

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
from tests.e2e.application import Application

MEMORY_LIMIT_MB = 150.0
CPU_LIMIT_PERCENT = 2.0
"""Of one core."""
SETTLE_S = 5.0
MEASURED_S = 20.0


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        mesh = Mesh(Path(folder))
        try:
            mesh.start()
            yield from measured(mesh.pid, "without an app")
            with closing(Api(mesh.url, mesh.token)) as api:
                app = Application(mesh, api)
                app.start()
                app.ended(app.submit().headers["Location"])
            yield from measured(mesh.pid, "with an app, after a run")
        finally:
            mesh.stop()


def measured(process: int, when: str) -> Iterator[Figure]:
    time.sleep(SETTLE_S)
    before = cpu_seconds(process)
    time.sleep(MEASURED_S)
    cpu = (cpu_seconds(process) - before) / MEASURED_S * 100
    yield Figure("idle: memory", memory_mb(process), MEMORY_LIMIT_MB, "MB", when)
    yield Figure("idle: processor", cpu, CPU_LIMIT_PERCENT, "%", f"of a core, over {MEASURED_S:.0f} s, {when}")


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
