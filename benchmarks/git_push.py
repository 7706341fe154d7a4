"""`git push` to the mesh itself: until the new version answers, and the check of the manifests before Git stores it."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from contextlib import closing

from benchmarks import mesh
from benchmarks.bare import POLL_S, program, started
from benchmarks.figures import Figure, Finding, median_ms
from deploy.demo.api import Api
from deploy.demo.show import Failed
from tests.e2e.application import Application
from tests.e2e.clone import FILES, Clone

PUSHES = 20
LIVE_MS = 1000.0
CHECK_MS = 150.0
MANIFESTS = 20
LIVE_TIMEOUT_S = 60.0
BOX = (
    "apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {{name: box-{0}}}\nspec: {{s3DefaultStorage: {{capacity: 1M}}}}\n"
)
CHECKED = re.compile(r"the manifests are valid \((\d+) ms\)")


def figures() -> Iterator[Finding]:
    with mesh.application() as app:
        clone = Clone(app.mesh, app.mesh.folder / "pushed", "pushed")
        boxes = {f"manifests/box-{number}.yml": BOX.format(number) for number in range(MANIFESTS - 1)}
        clone.commit({**FILES, **boxes})
        pushes = [push(app, clone, f"version {number}") for number in range(PUSHES)]
        bare = median_ms([started(*program(app.mesh.folder), app.mesh.folder) for _ in range(PUSHES)])
    live, check = median_ms([seconds for seconds, _ in pushes]), statistics.median(ms for _, ms in pushes)
    note = f"{live:.0f} ms from `git push` to the first answer, the bare process {bare:.0f} ms; medians of {PUSHES}"
    yield Figure("git push to live, beyond the process", live - bare, LIVE_MS, "ms", note)
    yield Figure("git push: the check before it is stored", check, CHECK_MS, "ms", f"of {MANIFESTS} manifests")


def push(app: Application, clone: Clone, text: str) -> tuple[float, float]:
    """Seconds until the pushed version answers, and milliseconds of the check."""
    clone.commit({"shout.py": f"def shout(text: str) -> dict:\n    return {{'said': '{text}'}}\n"})
    began = time.monotonic()
    lines = clone.git("push", clone.url, "main")
    with closing(Api(app.mesh.url, "")) as api:
        while answer(api) != text:
            if time.monotonic() - began > LIVE_TIMEOUT_S:
                raise Failed(f"{text} was not live after {LIVE_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)
    checked = CHECKED.search(lines)
    if checked is None:
        raise Failed(f"the push was not checked: {lines}")
    return time.monotonic() - began, float(checked[1])


def answer(api: Api) -> str | None:
    body = {"inputs": [{"name": "text", "datatype": "str", "data": "hi"}]}
    found = api.send("POST", "/pushed/shout/predict", body, expect=(200, 404, 502, 503))
    return str(found.json()["outputs"][0]["data"]) if found.status == 200 else None
