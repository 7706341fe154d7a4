"""Whether containers reach the gateway: asked once in each network, from a container of an image that is at hand."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from aiodocker import Docker

from libs.common import log
from libs.common.errors import MeshError, Unavailable
from services.worker.runtime.docker.client import answered

AGAIN_S = 60.0
"""After which one that was not reached is asked for again."""
ASKED_S = 30.0
UNKNOWN = 255
PROGRAM = """\
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
class Way:
    """From the containers of an app to the gateway."""

    app: str
    network: str
    url: str


class Reach:
    def __init__(self, docker: Docker, installation: str) -> None:
        self._docker, self._installation = docker, installation
        self._wanted: dict[Way, tuple[str, str]] = {}
        """The image and its Python through which it is asked."""
        self._known: dict[Way, tuple[float, str | None]] = {}
        """When it was asked, and why the gateway was not reached."""

    def want(self, way: Way, image: str, python: str) -> None:
        """It is asked at the next `step`, unless it is known."""
        self._wanted[way] = image, python

    async def step(self) -> None:
        now = time.monotonic()
        for way, (image, python) in list(self._wanted.items()):
            asked, why = self._known.get(way, (-AGAIN_S, ""))
            if why is None:
                del self._wanted[way]
            elif now - asked >= AGAIN_S:
                await self._ask(way, image, python)

    def check(self) -> None:
        """Raises Unavailable with a sentence for each network from which the gateway is not reached."""
        if faults := sorted(why for _, why in self._known.values() if why):
            raise Unavailable("; ".join(faults))

    def forget(self, network: str) -> None:
        """It is no more."""
        for known in (self._wanted, self._known):
            for way in [one for one in known if one.network == network]:
                del known[way]

    async def _ask(self, way: Way, image: str, python: str) -> None:
        try:
            code = await self._code(way, image, python)
        except MeshError as error:
            log.get("worker").info("whether containers reach the gateway is not known", app=way.app, why=error.detail)
            self._known[way] = time.monotonic(), None
            return
        why = fault(way, code) if code else None
        if why and self._known.get(way, (0.0, None))[1] != why:
            log.get("worker").warning(why)
        self._known[way] = time.monotonic(), why

    async def _code(self, way: Way, image: str, python: str) -> int:
        container = await answered(self._docker.containers.create(document(way, image, python, self._installation)))
        try:
            await answered(container.start())
            return int((await answered(container.wait(), ASKED_S))["StatusCode"])
        finally:
            await answered(container.delete(force=True))


def fault(way: Way, code: int) -> str:
    """`code`: the system's number of an error, as PROGRAM ends with it."""
    why = os.strerror(code) if code != UNKNOWN else "it does not answer"
    return (
        f"containers of {way.app} cannot reach the gateway at {way.url}: {why}; their calls with files fail. "
        "Let this host's firewall accept connections from the networks in MLMESH_APP_SUBNETS, "
        "or say in MLMESH_PUBLIC_URL where they reach the gateway"
    )


def document(way: Way, image: str, python: str, installation: str) -> dict[str, Any]:
    return {
        "Image": image,
        "Entrypoint": [python, "-c", PROGRAM, way.url],
        "Cmd": [],
        "Labels": {"mlmesh.installation": installation, "mlmesh.app": way.app},
        "HostConfig": {
            "NetworkMode": way.network,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "ReadonlyRootfs": True,
            "LogConfig": {"Type": "none"},
        },
    }
