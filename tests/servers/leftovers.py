"""Nothing stays behind: every process that we start carries its owner in its environment, and so do its children,
however they detach themselves. A guard waits for the owner's end, by whatever signal, and ends what is left.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.servers.places import run_folders

OWNER = "MLMESH_TEST_OWNER"
GUARD_POLL_S = 0.5


def identity(pid: int) -> str:
    """A process for ever: its number may come again, together with its start time it does not."""
    return f"{pid}:{_stat(pid)[19]}"


def alive(owner: str) -> bool:
    pid = int(owner.partition(":")[0])
    try:
        return identity(pid) == owner and _stat(pid)[0] not in "ZX"
    except OSError:
        return False


def sweep() -> None:
    """Ends the processes and removes the folders of runs that are no more."""
    for pid, owner in list(owned()):
        if not alive(owner):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    for folder, pid in run_folders():
        if not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def start_guard() -> None:
    """A small process that sweeps when this one has ended."""
    subprocess.Popen(
        [sys.executable, "-m", "tests.servers.leftovers", identity(os.getpid())],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ).returncode = 0  # it outlives us: nobody waits for it


def guard(owner: str) -> None:
    while alive(owner):
        time.sleep(GUARD_POLL_S)
    sweep()


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def owned() -> Iterator[tuple[int, str]]:
    """Every process that some run started, with the identity of its owner."""
    mark = f"{OWNER}=".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for variable in (entry / "environ").read_bytes().split(b"\0"):
                if variable.startswith(mark):
                    yield int(entry.name), variable.removeprefix(mark).decode()


if __name__ == "__main__":
    guard(sys.argv[1])
