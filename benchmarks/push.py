"""Push to live: from the webhook to the first answer of the new version, beyond the start of the bare process."""

from __future__ import annotations

import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.figures import Figure, median_ms
from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from deploy.demo.show import Failed
from tests.e2e.application import Application

LIMIT_MS = 1500.0
PUSHES = 10
POLL_S = 0.005
STARTTIME = 19
"""Its place after the command's name in /proc/<pid>/stat (proc(5), field 22)."""
START_TIMEOUT_S = 30.0
LIVE_TIMEOUT_S = 60.0


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        mesh = Mesh(Path(folder))
        try:
            mesh.start()
            with closing(Api(mesh.url, mesh.token)) as api:
                yield measured(Application(mesh, api))
        finally:
            mesh.stop()


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


def program(folder: Path) -> tuple[list[str], dict[str, str], Path]:
    """Command, environment and working directory of the newest instance that runs."""
    newest, found = -1, None
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes().decode().split("\0")[:-1]
            environ = (process / "environ").read_bytes().decode().split("\0")[:-1]
            began = int((process / "stat").read_text().rpartition(")")[2].split()[STARTTIME])
        except OSError:
            continue
        if len(command) == 2 and command[1].endswith("serve.py") and str(folder) in "".join(environ) and began > newest:
            pairs = (pair.partition("=") for pair in environ)
            newest, found = began, (command, {name: value for name, _, value in pairs}, (process / "cwd").resolve())
    if found is None:
        raise Failed("no instance of the component runs")
    return found


def started(command: list[str], environ: dict[str, str], work: Path, folder: Path) -> float:
    """Seconds until a process like this one is ready."""
    file = folder / "bare-port"
    file.unlink(missing_ok=True)
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=work, env={**environ, "MLMESH_PORT_FILE": str(file)}, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not ready(file, environ["MLMESH_INSTANCE_TOKEN"]):
                if time.monotonic() - began > START_TIMEOUT_S:
                    raise Failed("the bare process was not ready")
                time.sleep(POLL_S)
            return time.monotonic() - began
        finally:
            process.kill()


def ready(file: Path, token: str) -> bool:
    if not file.exists() or not (port := file.read_text().strip()):
        return False
    request = urllib.request.Request(f"http://127.0.0.1:{port}/readyz", headers={"X-Mlmesh-Token": token})
    try:
        with urllib.request.urlopen(request, timeout=1.0) as answer:  # noqa: S310  our own process
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
