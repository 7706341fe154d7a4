"""The mesh of the demo: `mlmesh up` as a child process in a folder of its own, and nothing of it left afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from deploy.demo.show import Failed

MLMESH = Path(sys.executable).parent / "mlmesh"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 40.0
COMMAND_TIMEOUT_S = 60.0
LOOK_INTERVAL_S = 0.05


class Mesh:
    """`folder` holds everything: the data, the logs, the command line's own configuration."""

    def __init__(self, folder: Path, runtime: str = "process") -> None:
        self.folder = folder
        self._runtime = runtime
        self.data = folder / "data"
        self.log = folder / "mesh.log"
        self.url = ""
        self.environ = {key: value for key, value in os.environ.items() if not key.startswith("MLMESH_")}
        self.environ |= {"XDG_CONFIG_HOME": str(folder / "config"), "NO_COLOR": "1"}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    @property
    def pid(self) -> int:
        """Of the process that is the mesh; 0 when it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Returns when it is ready. Its own session: Ctrl-C reaches the demo, which stops the mesh in order."""
        said = self.folder / "mesh.out"
        with said.open("wb") as out, self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [MLMESH, "up", "--port", "0", "--data", self.data, "--runtime", self._runtime],
                env=self.environ, stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (found := said.read_text()).startswith("ready "):
            if self._process.poll() is not None:
                raise Failed(f"mlmesh up ended with exit code {self._process.returncode}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise Failed(f"mlmesh up was not ready after {START_TIMEOUT_S:.0f} s")
            time.sleep(LOOK_INTERVAL_S)
        self.url = found.split()[1]

    def last_words(self) -> str:
        return (self.log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]

    def run(self, *arguments: str, given: str | None = None) -> str:
        """A command of the command line; what it printed."""
        done = subprocess.run(
            [MLMESH, *arguments],
            env=self.environ,
            input=given,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )
        if done.returncode:
            raise Failed(f"mlmesh {arguments[0]} ended with exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def crash(self) -> None:
        """Ends it at once; it may be started again."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def check(self) -> None:
        """Raises Failed when it has ended by itself."""
        if self._process is None or self._process.poll() is not None:
            raise Failed(f"mlmesh up has ended: {self.last_words()}")

    def stop(self) -> None:
        """Asks it to stop, and makes sure. Raises Failed when it did not stop well, or left a process."""
        code = self._ended()
        left = self._left()
        for number in left:
            os.kill(number, signal.SIGKILL)
        if code:
            raise Failed(f"mlmesh up ended with exit code {code} after SIGTERM: {self.last_words()}")
        if left:
            raise Failed(f"mlmesh up left {len(left)} processes behind: {', '.join(map(str, left))}")

    def _ended(self) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _left(self) -> list[int]:
        """Processes that still carry this mesh's configuration folder in their environment, or work in its data."""
        mark = str(self.folder).encode()
        return [number for number in _processes() if number != os.getpid() and _mentions(number, mark)]


def _processes() -> list[int]:
    return [int(found.name) for found in Path("/proc").iterdir() if found.name.isdigit()]


def _mentions(number: int, mark: bytes) -> bool:
    process = Path("/proc") / str(number)
    try:
        return mark in (process / "environ").read_bytes() or mark in (process / "cmdline").read_bytes()
    except OSError:
        return False  # gone, or another user's
