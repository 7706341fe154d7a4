"""RabbitMQ: one private node, a fresh virtual host for each test."""

import json
import os
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.container import Container, need_engine
from tests.servers.places import LOOPBACK, free_port
from tests.servers.process import Process, Runner, answers, folder_of, unprivileged
from tests.servers.provision import Missing, apt, program
from tests.servers.server import Server

DEBIAN = "/usr/lib/rabbitmq/bin"  # the real program; the one on PATH insists on the user rabbitmq
IMAGE = "rabbitmq:4.1-management"
PLUGINS = "[rabbitmq_management].\n"
REQUEST_TIMEOUT_S = 10.0


class RabbitMQ(Server):
    """`url` ends with the default virtual host; without `management` there is only that one."""

    def __init__(
        self, url: str, management: str | None, runner: Runner | None = None, names: Process | None = None
    ) -> None:
        super().__init__(url, runner)
        self.management = management
        self.names = names

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
            with suppress(OSError):  # a test may have left it stopped
                self._call("DELETE", f"vhosts/{name}")

    def answers(self) -> bool:
        try:
            self._call("GET", "overview")
        except (OSError, HTTPException):
            return False
        return answers(urlsplit(self.url).port or 0)

    def close(self) -> None:
        super().close()
        if self.names is not None:
            self.names.close()

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
    try:
        server = _process(*_programs(), parent)
    except Missing as missing:
        need_engine(missing)
        return from_image(parent)
    server.start()
    return server


def _process(broker: Path, epmd: Path, parent: Path) -> RabbitMQ:
    user = unprivileged("rabbitmq")
    folder = folder_of(user, parent, "rabbitmq")
    amqp, management, names = free_port(), free_port(), free_port()
    environ = _environment(folder, amqp, management, names)
    epmd_process = Process("epmd", [str(epmd), "-address", LOOPBACK, "-port", str(names)], folder, environ, user)
    epmd_process.start(lambda: answers(names))
    broker_process = Process("rabbitmq", [str(broker)], folder, environ, user)
    return RabbitMQ(*_urls("guest", amqp, management), broker_process, epmd_process)


def from_image(parent: Path) -> RabbitMQ:
    amqp, management = free_port(), free_port()
    plugins = folder_of(None, parent, "rabbitmq-container") / "enabled_plugins"
    plugins.write_text(PLUGINS)
    container = Container(
        os.environ.get("RABBITMQ_IMAGE", IMAGE),
        {amqp: 5672, management: 15672},
        {"RABBITMQ_DEFAULT_USER": "test", "RABBITMQ_DEFAULT_PASS": "test"},
        mounts={str(plugins): "/etc/rabbitmq/enabled_plugins"},
    )
    server = RabbitMQ(*_urls("test", amqp, management), container)
    server.start()
    return server


def _urls(user: str, amqp: int, management: int) -> tuple[str, str]:
    return f"amqp://{user}:{user}@{LOOPBACK}:{amqp}/%2F", f"http://{user}:{user}@{LOOPBACK}:{management}"


def _programs() -> tuple[Path, Path]:
    if program("rabbitmq-server", DEBIAN) is None:
        apt("rabbitmq-server")
    broker = program("rabbitmq-server", DEBIAN)
    epmd = program("epmd", "/usr/lib/erlang/bin", "/usr/lib/erlang/erts-*/bin")
    if broker is None or epmd is None:
        raise Missing("RabbitMQ was installed, but its programs are not there")
    return broker, epmd


def _environment(folder: Path, amqp: int, management: int, names: int) -> dict[str, str]:
    config, plugins = folder / "rabbitmq.conf", folder / "enabled_plugins"
    config.write_text(
        f"listeners.tcp.1 = {LOOPBACK}:{amqp}\n"
        f"management.tcp.ip = {LOOPBACK}\n"
        f"management.tcp.port = {management}\n"
        "log.console = true\n"
        "log.console.level = warning\n"
        "log.file = false\n"
        "disk_free_limit.absolute = 50MB\n"
    )
    plugins.write_text(PLUGINS)
    return {
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_NODENAME": f"mlmesh-test-{amqp}@localhost",
        "RABBITMQ_NODE_PORT": str(amqp),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",  # idle = asleep, not spinning
    }
