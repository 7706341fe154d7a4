"""Checks whether containers reach the gateway: once per network, from a container of a local image."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from aiodocker import Docker

from libs.common import log
from libs.common.errors import MeshError, Unavailable
from services.worker.runtime.docker.client import call_engine, create_container
from services.worker.runtime.docker.engine_api import ContainerConfig

RETRY_S = 60.0
"""Interval of checks until the gateway is reachable."""
CHECK_TIMEOUT_S = 30.0
UNKNOWN_ERROR = 255
CHECK_PROGRAM = """\
import errno, http.client, socket, sys, urllib.parse
at = urllib.parse.urlsplit(sys.argv[1])
kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
try:
    connection = kind(at.hostname, at.port, timeout=5)
    connection.request("GET", at.path.rstrip("/") + "/healthz")
    connection.getresponse()
except socket.timeout:
    sys.exit(errno.ETIMEDOUT)
except (OSError, http.client.HTTPException) as error:
    number = getattr(error, "errno", None) or 0
    sys.exit(number if 0 < number < 255 else 255)
"""


@dataclass(frozen=True)
class GatewayPath:
    """A route from the containers of an app to the gateway."""

    app: str
    network: str
    url: str


class GatewayCheck:
    def __init__(self, docker: Docker, installation: str) -> None:
        self._docker, self._installation = docker, installation
        self._pending: dict[GatewayPath, tuple[str, str]] = {}
        """Image and interpreter that run the check."""
        self._results: dict[GatewayPath, tuple[float, str | None]] = {}
        """Time of the last check, and why it failed."""

    def request_check(self, path: GatewayPath, image: str, python: str) -> None:
        """Check a path in the next `run_once`, unless its result is known."""
        self._pending[path] = image, python

    async def run_once(self) -> None:
        now = time.monotonic()
        for path, (image, python) in list(self._pending.items()):
            checked_at, why = self._results.get(path, (-RETRY_S, ""))
            if why is None:
                del self._pending[path]
            elif now - checked_at >= RETRY_S:
                await self._check_path(path, image, python)

    def raise_if_unreachable(self) -> None:
        """Raises Unavailable with a sentence for each network that cannot reach the gateway."""
        if faults := sorted(why for _, why in self._results.values() if why):
            raise Unavailable("; ".join(faults))

    def forget_network(self, network: str) -> None:
        """Drop the results of a removed network."""
        for paths in (self._pending, self._results):
            for path in [path for path in paths if path.network == network]:
                del paths[path]

    async def _check_path(self, path: GatewayPath, image: str, python: str) -> None:
        try:
            code = await self._run_container(path, image, python)
        except MeshError as error:
            log.get("worker").info(
                "Could not check whether containers reach the gateway", app=path.app, why=error.detail
            )
            self._results[path] = time.monotonic(), None
            return
        why = unreachable_message(path, code) if code else None
        if why and self._results.get(path, (0.0, None))[1] != why:
            log.get("worker").warning("Containers cannot reach the gateway", app=path.app, why=why)
        self._results[path] = time.monotonic(), why

    async def _run_container(self, path: GatewayPath, image: str, python: str) -> int:
        config = check_container_config(path, image, python, self._installation)
        container = await create_container(self._docker, config)
        try:
            await call_engine(container.start())
            return int((await call_engine(container.wait(), CHECK_TIMEOUT_S))["StatusCode"])
        finally:
            await call_engine(container.delete(force=True))


def unreachable_message(path: GatewayPath, code: int) -> str:
    """`code`: the errno with which CHECK_PROGRAM exits."""
    why = os.strerror(code) if code != UNKNOWN_ERROR else "no response"
    return (
        f"containers of {path.app} cannot reach the gateway at {path.url}: {why}; their requests for files fail. "
        "Let this host's firewall accept connections from the networks in MLMESH_APP_SUBNETS, "
        "or set MLMESH_PUBLIC_URL to an address at which they reach the gateway"
    )


def check_container_config(path: GatewayPath, image: str, python: str, installation: str) -> ContainerConfig:
    return {
        "Image": image,
        "Entrypoint": [python, "-c", CHECK_PROGRAM, path.url],
        "Cmd": [],
        "Labels": {"mlmesh.installation": installation, "mlmesh.app": path.app},
        "HostConfig": {
            "NetworkMode": path.network,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "ReadonlyRootfs": True,
            "LogConfig": {"Type": "none"},
        },
    }
