"""Docker Engine: the one that runs here, else a private one whose images are kept between runs."""

import fcntl
import os
import subprocess
from pathlib import Path
from typing import IO

from tests.servers.places import cache
from tests.servers.process import Process
from tests.servers.provision import Missing, apt, program

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
COMMAND_TIMEOUT_S = 600.0


class Engine:
    """`url` is its socket; `process` is None when it was running already. Without a `url`: the one of this machine."""

    def __init__(self, url: str = "", process: Process | None = None, lock: IO[str] | None = None) -> None:
        self.url = url or os.environ.get("MLMESH_TEST_DOCKER") or os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET
        self.process = process
        self._lock = lock

    def answers(self) -> bool:
        return _docker(self.url, "version", timeout=10.0).returncode == 0

    def run(self, *arguments: str, input_file: IO[bytes] | None = None) -> str:
        """The output of `docker …`; Missing when it fails."""
        done = _docker(self.url, *arguments, input_file=input_file)
        if done.returncode != 0:
            raise Missing(f"docker {arguments[0]}: {done.stderr.decode(errors='replace').strip()[-600:]}")
        return done.stdout.decode(errors="replace").strip()

    def has_image(self, name: str, recipe: str = "") -> bool:
        """Is it there, and made by this recipe?"""
        inspect = _docker(self.url, "image", "inspect", "--format", '{{index .Config.Labels "mlmesh.recipe"}}', name)
        return inspect.returncode == 0 and recipe in inspect.stdout.decode()

    def clear(self, installation: str) -> None:
        """Removes what a mesh left: containers that outlive their worker, and the apps' networks."""
        label = f"label=mlmesh.installation={installation}"
        for kind, every, forced in (("container", ["--all"], ["--force"]), ("network", [], [])):
            if found := self.run(kind, "ls", *every, "--quiet", "--filter", label).split():
                self.run(kind, "rm", *forced, *found)

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()
        if self._lock is not None:
            self._lock.close()


def start(parent: Path) -> Engine:
    running = Engine()
    if program("docker") and running.answers():
        return running
    daemon = program("dockerd") or _installed()
    if os.getuid() != 0:
        raise Missing("no Docker Engine answers, and only root can start one")
    return _private(daemon, parent)


def _installed() -> Path:
    apt("docker.io", "iptables")
    if program("docker") is None:
        apt("docker-cli")
    found = program("dockerd")
    if found is None:
        raise Missing("docker.io was installed, but has no dockerd")
    return found


def _private(daemon: Path, parent: Path) -> Engine:
    folder = parent / "docker"
    folder.mkdir()
    data, lock = _data_root(folder)
    engine_url = f"unix://{folder}/docker.sock"
    command = [str(daemon), "--host", engine_url, "--data-root", str(data), "--exec-root", str(folder / "exec")]
    process = Process("dockerd", [*command, "--pidfile", str(folder / "docker.pid")], folder)
    engine = Engine(engine_url, process, lock)
    process.start(engine.answers)
    return engine


def _data_root(folder: Path) -> tuple[Path, IO[str]]:
    """The cached one, unless another run uses it."""
    lock = (cache() / "docker.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return folder / "data", lock
    return cache() / "docker", lock


def _docker(
    url: str, *arguments: str, timeout: float = COMMAND_TIMEOUT_S, input_file: IO[bytes] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    environ = {**os.environ, "DOCKER_HOST": url, "DOCKER_BUILDKIT": "0"}
    docker = program("docker")
    if docker is None:
        raise Missing("the docker command is not installed")
    return subprocess.run([docker, *arguments], env=environ, stdin=input_file, capture_output=True, timeout=timeout)
