"""A cold start: the first call of a component that sleeps, beyond the start of the bare process."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks import mesh
from benchmarks.bare import POLL_S, program, started
from benchmarks.figures import Figure, median_ms
from deploy.demo.show import Failed
from tests.e2e.application import COMPONENT, FILES, Application

LIMIT_MS = 100.0
STARTS = 5
ASLEEP_TIMEOUT_S = 60.0
SLEEPER = COMPONENT.replace("service:shout}", "service:shout}\n  scaling: {min: 0, idleTimeout: 1s}")


def figures() -> Iterator[Figure]:
    with mesh.application() as app:
        yield measured(app)


def measured(app: Application) -> Figure:
    app.start({**FILES, "manifests/shout.yml": SLEEPER})
    cold, bare = [], []
    for _ in range(STARTS):
        cold.append(woken(app))
        bare.append(started(*program(app.mesh.folder), app.mesh.folder))
    note = f"{median_ms(cold):.0f} ms in all, the bare process {median_ms(bare):.0f} ms; medians of {STARTS}"
    return Figure("cold start, beyond the process", median_ms(cold) - median_ms(bare), LIMIT_MS, "ms", note)


def woken(app: Application) -> float:
    began = time.monotonic()
    while app.api.get(f"{app.path}/components/shout")["status"] != "asleep":
        if time.monotonic() - began > ASLEEP_TIMEOUT_S:
            raise Failed(f"the component was awake after {ASLEEP_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)
    began = time.monotonic()
    answer = app.shout()
    if answer.status != 200 or "cold" not in answer.headers.get("Server-Timing", ""):
        raise Failed(f"the first call was answered with {answer.status}: {answer.body.decode()}")
    return time.monotonic() - began
