"""The platform's own containers on this engine: which of them are ours."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiodocker import Docker

from libs.common.errors import NotFound
from libs.common.http.addresses import is_loopback
from services.worker.runtime.docker.client import call_engine, list_containers

APP_NETWORK = re.compile(r"zz-mlmesh-[0-9a-f]{12}-")
"""`zz-mlmesh-<installation>-<app>…`: gateways of several installations may have come into one."""
IN_CONTAINER = Path("/.dockerenv")


@dataclass(frozen=True)
class PlatformContainer:
    id: str
    labels: Mapping[str, str]
    networks: frozenset[str]
    published: frozenset[int]
    """Ports of the host that lead to it."""
    image: str = ""
    mounts: tuple[tuple[str, str], ...] = ()
    """Folders of the host and where they are inside."""

    @classmethod
    def from_listing(cls, listing: Mapping[str, Any]) -> PlatformContainer:
        return cls(
            id=listing["Id"],
            labels=listing["Labels"],
            networks=frozenset(listing["NetworkSettings"]["Networks"]),
            published=frozenset(port["PublicPort"] for port in listing["Ports"] if port.get("PublicPort")),
            image=listing["ImageID"],
            mounts=tuple((mount.get("Source", ""), mount["Destination"]) for mount in listing["Mounts"]),
        )


async def find_own_container(docker: Docker) -> str | None:
    """The id of the container that this process runs in, if it is one of this engine."""
    name = socket.gethostname()
    if not IN_CONTAINER.exists():
        return None
    try:
        container = await call_engine(docker.containers.container(name).show())
    except NotFound:
        return None
    return str(container["Id"]) if container["Config"]["Hostname"] == name else None


async def list_platform_containers(docker: Docker, service: str) -> list[PlatformContainer]:
    """The running containers with the label `mlmesh.service`."""
    containers = await list_containers(docker, f"mlmesh.service={service}", running=True)
    return [PlatformContainer.from_listing(container._container) for container in containers]


def is_same_installation(
    gateway: PlatformContainer, worker: PlatformContainer | None, installation: str, public_url: str
) -> bool:
    """Another installation's gateway may run on this engine too. Told apart by label, else by a network that it shares
    with the worker's container, else (the worker is no container) by the port that the public address names."""
    label = gateway.labels.get("mlmesh.installation")
    if label is not None:
        return label == installation
    if worker is not None:
        return any(not APP_NETWORK.match(name) for name in gateway.networks & worker.networks)
    address = urlsplit(public_url)
    return (address.port or {"http": 80, "https": 443}[address.scheme]) in gateway.published


def url_from_container(url: str, host: str) -> str:
    """`url` for a container: a loopback address means the host, which has the address `host` in its network."""
    address = urlsplit(url)
    if not is_loopback(address.hostname or ""):
        return url
    port = f":{address.port}" if address.port else ""
    return address._replace(netloc=f"{host}{port}").geturl()
