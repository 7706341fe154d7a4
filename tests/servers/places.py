"""Where things are kept: a cache that outlives the run, a folder that does not, and free ports."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOPBACK = "127.0.0.1"
PREFIX = "mlmesh-test-"


def cache() -> Path:
    """Downloads and builds; survives the run and the checkout."""
    given = os.environ.get("MLMESH_TEST_CACHE")
    folder = Path(given) if given else Path.home() / ".cache" / "mlmesh"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def new_run_folder() -> Path:
    """A folder of this process; its name tells the owner, so that what a killed run left can be found."""
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=_parent()))
    folder.chmod(0o755)
    return folder


def run_folders() -> Iterator[tuple[Path, int]]:
    """Every run's folder, with the number of the process that made it."""
    for folder in _parent().glob(f"{PREFIX}*-*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit():
            yield folder, int(pid)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One installation of a thing at a time, over all runs that share the cache."""
    with (cache() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _parent() -> Path:
    """As root, servers run as another user, who must be able to enter the folder."""
    return Path("/tmp") if os.getuid() == 0 else Path(tempfile.gettempdir())
