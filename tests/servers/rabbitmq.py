"""RabbitMQ: one private node, a fresh virtual host for each test; can be stopped, killed, frozen."""

import json
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

from tests.servers.places import LOOPBACK, free_port
from tests.servers.process import Process, answers, folder_of, unprivileged
from tests.servers.provision import Missing, apt, program

DEBIAN = "/usr/lib/rabbitmq/bin"  # the real program; the one on PATH insists on the user rabbitmq
REQUEST_TIMEOUT_S = 10.0


class RabbitMQ:
    """`url` ends with the default virtual host; without `management` there is only that one."""

    def __init__(self, url: str, management: str | None, processes: tuple[Process, ...] = ()) -> None:
        self.url = url
        self.management = management
        self.processes = processes

    @contextmanager
    def virtual_host(self) -> Iterator[str]:
        """The address of a new empty virtual host, gone afterwards."""
        if self.management is None:
            yield self.url
            return
        name = f"test-{uuid.uuid4().hex[:12]}"
        self._call("PUT", f"vhosts/{name}")
        self._call("PUT", f"permissions/{name}/{urlsplit(self.url).username}", configure=".*", write=".*", read=".*")
        try:
            yield urlsplit(self.url)._replace(path=f"/{name}").geturl()
        finally:
            with suppress(URLError, TimeoutError):  # a chaos test may have left it stopped
                self._call("DELETE", f"vhosts/{name}")

    def start(self) -> None:
        """Again, after `stop` or `kill`: same address, same durable queues."""
        for process, ready in zip(self._own(), (self._names_known, self._accepts), strict=True):
            if not process.running:
                process.start(ready)

    def stop(self) -> None:
        self._own()[-1].stop()

    def kill(self) -> None:
        self._own()[-1].kill()

    def pause(self) -> None:
        """Connections stay open, nothing answers."""
        self._own()[-1].pause()

    def resume(self) -> None:
        self._own()[-1].resume()

    def close(self) -> None:
        for process in reversed(self.processes):
            process.resume()
            process.kill()

    def _own(self) -> tuple[Process, ...]:
        assert self.processes, "a server whose address was given is not ours to stop"
        return self.processes

    def _names_known(self) -> bool:
        return answers(int(self.processes[0].environ["ERL_EPMD_PORT"]))

    def _accepts(self) -> bool:
        try:
            self._call("GET", "overview")
        except OSError:
            return False
        return answers(urlsplit(self.url).port or 0)

    def _call(self, method: str, path: str, **body: str) -> None:
        address = urlsplit(self.management or "")
        request = urllib.request.Request(  # noqa: S310 - an address of ours
            f"{address.scheme}://{address.hostname}:{address.port}/api/{path}",
            method=method,
            data=json.dumps(body).encode(),
            headers={
                "Authorization": "Basic " + b64encode(f"{address.username}:{address.password}".encode()).decode(),
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S):  # noqa: S310
            pass


def start(parent: Path) -> RabbitMQ:
    server = program("rabbitmq-server", DEBIAN) or _installed()
    epmd = program("epmd", "/usr/lib/erlang/*/bin", "/usr/lib/erlang/erts-*/bin")
    if epmd is None:
        raise Missing("RabbitMQ is installed, but Erlang's epmd is not")
    user = unprivileged("rabbitmq")
    folder = folder_of(user, parent, "rabbitmq")
    ports = {name: free_port() for name in ("amqp", "distribution", "management", "epmd")}
    environ = _environment(folder, ports)
    processes = (
        Process("epmd", [str(epmd), "-address", LOOPBACK, "-port", str(ports["epmd"])], folder, environ, user),
        Process("rabbitmq", [str(server)], folder, environ, user),
    )
    started = RabbitMQ(
        f"amqp://guest:guest@{LOOPBACK}:{ports['amqp']}/%2F",
        f"http://guest:guest@{LOOPBACK}:{ports['management']}",
        processes,
    )
    started.start()
    return started


def _installed() -> Path:
    apt("rabbitmq-server")
    found = program("rabbitmq-server", DEBIAN)
    if found is None:
        raise Missing("rabbitmq-server was installed, but has no program")
    return found


def _environment(folder: Path, ports: dict[str, int]) -> dict[str, str]:
    config, plugins = folder / "rabbitmq.conf", folder / "enabled_plugins"
    config.write_text(
        f"listeners.tcp.1 = {LOOPBACK}:{ports['amqp']}\n"
        f"management.tcp.ip = {LOOPBACK}\n"
        f"management.tcp.port = {ports['management']}\n"
        "log.console = true\n"
        "log.console.level = warning\n"
        "log.file = false\n"
        "disk_free_limit.absolute = 50MB\n"
    )
    plugins.write_text("[rabbitmq_management].\n")
    return {
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_NODENAME": f"mlmesh-test-{ports['amqp']}@localhost",
        "RABBITMQ_NODE_PORT": str(ports["amqp"]),
        "RABBITMQ_DIST_PORT": str(ports["distribution"]),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
    }
