"""Docker Engine: the one that runs here, else a private one; a second one for tests that stop it.

The images of private engines are kept between runs.
"""

import fcntl
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from tests.servers.namespace import Namespace, make_namespace
from tests.servers.places import cache
from tests.servers.process import Process, Runner
from tests.servers.provision import Missing, apt, program
from tests.servers.server import Server

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
COMMAND_TIMEOUT_S = 600.0
SOCKET = "containerd.sock"


class Engine(Server):
    """`url` is its socket; without one: the one of this machine."""

    def __init__(self, url: str = "", runner: Runner | None = None, closes: Sequence[Callable[[], None]] = ()) -> None:
        given = url or os.environ.get("MLMESH_TEST_DOCKER") or os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET
        super().__init__(given, runner)
        self._closes = closes

    @property
    def runtime(self) -> str:
        """As a worker's setting."""
        return f"docker://{self.url.removeprefix('unix://')}"

    def answers(self) -> bool:
        try:
            return _docker(self.url, "version", timeout=10.0).returncode == 0
        except subprocess.TimeoutExpired:
            return False

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

    def containers(self, installation: str) -> list[str]:
        """All of a mesh's tasks, whatever their state."""
        return self._labelled(installation, "container", "--all", "--filter", "label=mlmesh.worker")

    def clear(self, installation: str) -> None:
        """Removes what a mesh left: containers that outlive their worker, and the apps' networks."""
        if found := self._labelled(installation, "container", "--all"):
            self.run("container", "rm", "--force", *found)
        if found := self._labelled(installation, "network"):
            self.run("network", "rm", *found)

    def _labelled(self, installation: str, kind: str, *more: str) -> list[str]:
        return self.run(kind, "ls", *more, "--quiet", "--filter", f"label=mlmesh.installation={installation}").split()

    def close(self) -> None:
        """In order, unlike other servers: its containers and networks go with it."""
        if self.runner is not None:
            self.runner.resume()
            self.runner.stop()
        for close in self._closes:
            close()


def start(parent: Path) -> Engine:
    """The one that runs here, else one of our own."""
    running = Engine()
    if program("docker") and running.answers():
        return running
    return start_own(parent)


def start_own(parent: Path) -> Engine:
    daemon = _daemon()
    return _private(daemon, parent, "docker")


def start_apart(parent: Path) -> Engine:
    """One that a test may stop while others use the first: its networks and their rules are in a namespace of its own.

    Its containers reach each other and nothing else; the engine itself is reached by its socket, as any.
    """
    daemon = _daemon()
    namespace = make_namespace()
    return _private(daemon, parent, "docker-apart", namespace)


def _daemon() -> Path:
    daemon = program("dockerd") or _installed()
    if os.getuid() != 0:
        raise Missing("no Docker Engine answers, and only root can start one")
    return daemon


def _installed() -> Path:
    apt("docker.io", "iptables")
    if program("docker") is None:
        apt("docker-cli")
    found = program("dockerd")
    if found is None:
        raise Missing("docker.io was installed, but has no dockerd")
    return found


def _private(daemon: Path, parent: Path, name: str, namespace: Namespace | None = None) -> Engine:
    folder = parent / name
    folder.mkdir()
    data, lock = _data_root(folder, name)
    containerd = _containerd(data, folder)
    engine_url = f"unix://{folder}/docker.sock"
    command = [*(namespace.words if namespace else ()), str(daemon)]
    command += ["--host", engine_url, "--containerd", str(folder / SOCKET)]
    command += ["--data-root", str(data), "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "docker.pid")]
    closes = [containerd.close, lock.close, *([namespace.close] if namespace else ())]
    engine = Engine(engine_url, Process("dockerd", command, folder), closes)
    engine.start()
    engine.run("container", "prune", "--force")  # what a run left that was ended by force
    return engine


def _containerd(data: Path, folder: Path) -> Process:
    """A service of its own, as where a system's init runs both: it outlives a daemon that is killed."""
    config = folder / "containerd.toml"
    config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    places = [
        "--root",
        str(data / "containerd"),
        "--state",
        str(folder / "containerd"),
        "--address",
        str(folder / SOCKET),
    ]
    process = Process("containerd", [str(program("containerd")), "--config", str(config), *places], folder)
    process.start((folder / SOCKET).exists)
    return process


def _data_root(folder: Path, name: str) -> tuple[Path, IO[str]]:
    """The cached one of this name, unless another run uses it."""
    lock = (cache() / f"{name}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return folder / "data", lock
    return cache() / name, lock


def _docker(
    url: str, *arguments: str, timeout: float = COMMAND_TIMEOUT_S, input_file: IO[bytes] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    environ = {**os.environ, "DOCKER_HOST": url, "DOCKER_BUILDKIT": "0"}
    docker = program("docker")
    if docker is None:
        raise Missing("the docker command is not installed")
    return subprocess.run([docker, *arguments], env=environ, stdin=input_file, capture_output=True, timeout=timeout)
