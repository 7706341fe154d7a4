"""A run of a thousand stages that do nothing, two at a time: what each costs the scheduler and the broker."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import Figure, Finding, Unmeasured
from benchmarks.idle import cpu_seconds
from benchmarks.runs import application, ended, pipeline
from tests.e2e.application import Application
from tests.e2e.processes import Processes
from tests.servers.fleet import Fleet
from tests.servers.provision import Missing

STAGES = 1000
MOST_MS = 8.0


def figures() -> Iterator[Finding]:
    files = {"manifests/many.yml": pipeline("many", STAGES, "'true'", "unused")}
    try:
        with Fleet() as fleet, application(fleet, files) as (mesh, app):
            yield cost(mesh, app)
    except Missing as missing:
        yield Unmeasured("thousand", str(missing))


def cost(mesh: Processes, app: Application) -> Figure:
    before = cpu_seconds(mesh.process_of("scheduler"))
    ended(app, app.call("POST", "/many/runs", {}).json())
    spent = (cpu_seconds(mesh.process_of("scheduler")) - before) / STAGES * 1000
    return Figure("thousand: scheduler, a stage", spent, MOST_MS, "ms", "of its processor, in a run of a thousand")
