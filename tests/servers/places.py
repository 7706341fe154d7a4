"""Where things are kept: a cache that outlives the run, a folder that does not, and free ports."""

import fcntl
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
PREFIX = "mlmesh-test-"
FIRST_PORT = 20000
PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


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
    """One that stays ours while what listens there is stopped: the kernel gives none of these to connections."""
    while True:
        port = secrets.choice(range(FIRST_PORT, max(FIRST_PORT + 5000, _first_given_port())))
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def _first_given_port() -> int:
    """The least that the kernel takes by itself, for a connection or for who asks for any port (ip(7))."""
    try:
        return int(PORT_RANGE.read_text().split()[0])
    except OSError:
        return 32768


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One installation of a thing at a time, over all runs that share the cache."""
    with (cache() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _parent() -> Path:
    """As root, servers run as another user, who must be able to enter the folder."""
    return Path("/tmp") if os.getuid() == 0 else Path(tempfile.gettempdir())
