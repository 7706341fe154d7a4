"""Push to live: from the webhook to the first answer of the new version, beyond the start of the bare process."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks import mesh
from benchmarks.bare import POLL_S, program, started
from benchmarks.figures import Figure, median_ms
from deploy.demo.show import Failed
from tests.e2e.application import Application

LIMIT_MS = 1500.0
PUSHES = 10
LIVE_TIMEOUT_S = 60.0


def figures() -> Iterator[Figure]:
    with mesh.application() as app:
        yield measured(app)


def measured(app: Application) -> Figure:
    app.start()
    live = [pushed(app, f"version {number}") for number in range(PUSHES)]
    bare = [started(*program(app.mesh.folder), app.mesh.folder) for _ in range(PUSHES)]
    note = f"{median_ms(live):.0f} ms in all, the bare process {median_ms(bare):.0f} ms; medians of {PUSHES}"
    return Figure("push to live, beyond the process", median_ms(live) - median_ms(bare), LIMIT_MS, "ms", note)


def pushed(app: Application, says: str) -> float:
    app.push({"service.py": f"def shout(text: str) -> dict:\n    return {{'said': '{says}'}}\n"})
    began = time.monotonic()
    app.announce()
    while (answer := app.shout()).status != 200 or answer.json()["outputs"][0]["data"] != says:
        if time.monotonic() - began > LIVE_TIMEOUT_S:
            raise Failed(f"{says} was not live after {LIVE_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)
    return time.monotonic() - began
