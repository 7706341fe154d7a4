"""Finds the mesh's own containers (gateways, workers) on an engine that several meshes may share."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from aiodocker import Docker

from libs.common.errors import NotFound
from libs.common.http.addresses import is_loopback
from services.worker.runtime.docker.client import call_engine, list_containers
from services.worker.runtime.docker.engine_api import ListedContainer

APP_NETWORK = re.compile(r"zz-mlmesh-[0-9a-f]{12}-")
"""`zz-mlmesh-<installation>-<app>…`: gateways of several installations may share one."""
IN_CONTAINER = Path("/.dockerenv")


@dataclass(frozen=True)
class PlatformContainer:
    id: str
    labels: Mapping[str, str]
    networks: frozenset[str]
    published: frozenset[int]
    """Published ports of the host."""
    image: str = ""
    mounts: tuple[tuple[str, str], ...] = ()
    """Folders of the host and their mount points."""

    @classmethod
    def from_listing(cls, listing: ListedContainer) -> PlatformContainer:
        return cls(
            id=listing["Id"],
            labels=listing["Labels"],
            networks=frozenset(listing["NetworkSettings"]["Networks"]),
            published=frozenset(port["PublicPort"] for port in listing["Ports"] if port.get("PublicPort")),
            image=listing["ImageID"],
            mounts=tuple((mount.get("Source", ""), mount["Destination"]) for mount in listing["Mounts"]),
        )


async def find_own_container(docker: Docker) -> str | None:
    """Return the id of the container that this process runs in, if it is one of this engine."""
    name = socket.gethostname()
    if not IN_CONTAINER.exists():
        return None
    try:
        container = await call_engine(docker.containers.container(name).show())
    except NotFound:
        return None
    return str(container["Id"]) if container["Config"]["Hostname"] == name else None


async def list_platform_containers(docker: Docker, service: str) -> list[PlatformContainer]:
    """List running containers with the label `mlmesh.service=<service>`."""
    containers = await list_containers(docker, f"mlmesh.service={service}", running=True)
    return [PlatformContainer.from_listing(cast(ListedContainer, container._container)) for container in containers]


def is_same_installation(
    gateway: PlatformContainer, worker: PlatformContainer | None, installation: str, public_url: str
) -> bool:
    """Whether a gateway belongs to this mesh: by its label, else by a network shared with the worker's container,
    else (the worker is not a container) by the port of the public URL."""
    label = gateway.labels.get("mlmesh.installation")
    if label is not None:
        return label == installation
    if worker is not None:
        return any(not APP_NETWORK.match(name) for name in gateway.networks & worker.networks)
    address = urlsplit(public_url)
    return (address.port or {"http": 80, "https": 443}[address.scheme]) in gateway.published


def url_from_container(url: str, host: str) -> str:
    """Translate `url` for a container: replace a loopback address with the host's address in its network."""
    address = urlsplit(url)
    if not is_loopback(address.hostname or ""):
        return url
    port = f":{address.port}" if address.port else ""
    return address._replace(netloc=f"{host}{port}").geturl()
