"""The mesh as a deployment: five services as five processes on real servers, each killed and restarted at will."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from deploy.demo.mesh import LOOK_INTERVAL_S, MLMESH, Mesh
from deploy.demo.show import Failed
from services.worker.context import get_installation_id
from tests.servers.places import LOOPBACK, free_port

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 40.0
SERVICES = ("databox", "registry", "scheduler", "worker", "gateway")


@dataclass(frozen=True)
class Place:
    """Where a process runs that is not beside the others: its address, the words before its command, variables."""

    address: str = LOOPBACK
    words: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)


class Processes(Mesh):
    """`settings` name the real servers: `DATABASE`, `BUS`, `STORE`, `RUNTIME`."""

    def __init__(
        self,
        folder: Path,
        settings: dict[str, str],
        host: str = LOOPBACK,
        address: str = LOOPBACK,
        places: Mapping[str, Place] | None = None,
    ) -> None:
        """The gateway listens on `host`; `address` is this machine for all of them; `places` by service or name."""
        super().__init__(folder)
        self.log = folder / "logs"
        self.log.mkdir()
        self.data.mkdir()
        self._ports = {name: free_port() for name in SERVICES}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._places = places or {}
        self.url = f"http://{address}:{self._ports['gateway']}"
        self._token = secrets.token_hex(16)
        self._host = host
        addresses = {f"{name.upper()}_URL": f"http://{address}:{self._ports[name]}" for name in SERVICES[:3]}
        fixed = {
            "INTERNAL_TOKEN": secrets.token_hex(16),
            "SECRET_KEY": secrets.token_hex(16),
            "ADMIN_TOKEN": self._token,
            "PUBLIC_URL": self.url,
            "LEASE": "4s",
            "WORKER_NAME": f"e2e-{secrets.token_hex(4)}",
            "WORKER_SLOTS": "2",
            "DATA": str(self.data),
            "LOG_FORMAT": "text",
        }
        self.services = {f"MLMESH_{key}": value for key, value in {**addresses, **fixed, **settings}.items()}
        self.environ |= {"MLMESH_URL": self.url, "MLMESH_TOKEN": self._token}

    @property
    def contained(self) -> bool:
        """What it runs are containers."""
        return self.services["MLMESH_RUNTIME"].startswith("docker")

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    def process_of(self, name: str) -> int:
        return self._running[name].pid

    @property
    def token(self) -> str:
        return self._token

    @property
    def installation(self) -> str:
        return get_installation_id(self.services["MLMESH_INTERNAL_TOKEN"])

    def start(self) -> None:
        subprocess.run([MLMESH, "migrate"], env={**self.environ, **self.services}, check=True, capture_output=True)
        for name in SERVICES:
            self.begin(name)
        for name in SERVICES:
            self.ready(name)

    def begin(self, name: str, service: str = "") -> None:
        """`service` when `name` is a further process of it, a worker of its own name."""
        port, place = self._ports.setdefault(name, free_port()), self._place(name)
        own = {"MLMESH_PORT": str(port), "MLMESH_HOST": self._host if name == "gateway" else place.address}
        if service == "worker":
            own["MLMESH_WORKER_NAME"] = f"{self.services['MLMESH_WORKER_NAME']}-{name}"
        environ = {key: value for key, value in self.environ.items() if key not in ("MLMESH_URL", "MLMESH_TOKEN")}
        with (self.log / name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [*place.words, MLMESH, service or name], env={**environ, **self.services, **own, **place.environ},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def ready(self, name: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers(name):
            if self._running[name].poll() is not None:
                raise Failed(f"{name} ended: {(self.log / name).read_text()[-2000:]}")
            if time.monotonic() > deadline:
                raise Failed(f"{name} was not ready: {(self.log / name).read_text()[-2000:]}")
            time.sleep(LOOK_INTERVAL_S)

    def _answers(self, name: str) -> bool:
        try:
            where = f"http://{self._place(name).address}:{self._ports[name]}"
            with urllib.request.urlopen(f"{where}/readyz", timeout=5) as answer:  # noqa: S310  our own
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _place(self, name: str) -> Place:
        return self._places.get(name, Place())

    def kill(self, name: str) -> None:
        """As if its machine had lost power."""
        self.signal(name, signal.SIGKILL)
        self._running[name].wait()

    def end(self, name: str) -> None:
        """In order, as an operator would."""
        self._running[name].terminate()
        self._running[name].wait(STOP_TIMEOUT_S)

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self._running[name].pid, number)

    def lose_host(self) -> None:
        """All workers and everything that they run, at once."""
        for name in [name for name in self._running if name not in SERVICES or name == "worker"]:
            self.kill(name)
            del self._running[name]
        for number in self.containers():
            os.kill(number, signal.SIGKILL)

    def containers(self) -> list[int]:
        """Processes of stages and components."""
        services = {process.pid for process in self._running.values()}
        return [number for number in self._left() if number not in services]

    def restart(self, name: str) -> None:
        self.kill(name)
        self.begin(name)
        self.ready(name)

    def check(self) -> None:
        for name, process in self._running.items():
            if process.poll() is not None:
                raise Failed(f"{name} has ended: {(self.log / name).read_text()[-2000:]}")

    def stop(self) -> None:
        for name in sorted(self._running, key=_stop_order):
            if (process := self._running.pop(name, None)) is not None:
                process.terminate()
                try:
                    process.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for number in self._left():
            with suppress(ProcessLookupError):  # it ends by itself meanwhile
                os.kill(number, signal.SIGKILL)


@contextmanager
def running(mesh: Processes) -> Iterator[Processes]:
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()


def _stop_order(name: str) -> int:
    """Against the order of the start, workers of their own name first."""
    return -SERVICES.index(name) if name in SERVICES else -len(SERVICES)
