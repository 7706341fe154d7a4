"""The process of a component without a platform around it: what its start alone costs."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from deploy.demo.show import Failed

POLL_S = 0.005
STARTTIME = 19
"""Its place after the command's name in /proc/<pid>/stat (proc(5), field 22)."""
START_TIMEOUT_S = 30.0


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
