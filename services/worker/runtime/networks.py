"""One network an app: it reaches neither other apps nor the platform's services, and the gateway is joined to it."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

import aiodocker

from libs.common.settings import Settings

PIECE = 26
ALIAS = "mlmesh-gateway"
GATEWAY_PORT = 8000
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
ATTEMPTS = 50


class Networks:
    def __init__(self, docker: aiodocker.Docker, settings: Settings, installation: str) -> None:
        self._docker = docker
        self._settings = settings
        self._installation = installation
        self._gateways: dict[str, str] = {}
        """Network → the host's address in it."""
        self._joined = False
        """The mesh's gateway is a container of this engine."""

    def name(self, app: str) -> str:
        """Short enough for every engine, and told apart by the whole name."""
        mark = hashlib.sha256(app.encode()).hexdigest()[:8]
        return f"mlmesh-{self._installation}-{app[:24]}-{mark}"

    async def of(self, app: str) -> str:
        """The app's network, made when there is none; the mesh's own containers are joined to it."""
        name = self.name(app)
        shown = await self._shown(name) or await self._make(name, app)
        self._gateways[name] = shown["IPAM"]["Config"][0].get("Gateway") or _first(shown["IPAM"]["Config"][0]["Subnet"])
        await self._join(name, shown)
        return name

    async def _shown(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await (await self._docker.networks.get(name)).show()
        except aiodocker.DockerError as error:
            if error.status == 404:
                return None
            raise
        return found

    async def _make(self, name: str, app: str) -> dict[str, Any]:
        labels = {"mlmesh.installation": self._installation, "mlmesh.app": app}
        refused: aiodocker.DockerError | None = None
        for subnet in await self._free():
            ipam = {"Driver": "default", "Config": [{"Subnet": str(subnet)}]}
            body = {"Name": name, "Driver": "bridge", "CheckDuplicate": True, "Labels": labels, "IPAM": ipam}
            try:
                await self._docker.networks.create(body)
            except aiodocker.DockerError as error:
                refused = error
                if error.status == 409:
                    break  # another worker has just made it
                continue
            break
        shown = await self._shown(name)
        if shown is None:
            raise refused or aiodocker.DockerError(500, "no free subnet for a network")
        return shown

    async def _free(self) -> list[ipaddress.IPv4Network]:
        taken = []
        for one in await self._docker.networks.list():
            for pool in (one.get("IPAM") or {}).get("Config") or []:
                if "." in (subnet := pool.get("Subnet", "")):
                    taken.append(ipaddress.IPv4Network(subnet, strict=False))
        pieces = ipaddress.IPv4Network(self._settings.app_subnets).subnets(new_prefix=PIECE)
        return [piece for piece in pieces if not any(piece.overlaps(other) for other in taken)][:ATTEMPTS]

    async def _join(self, name: str, shown: dict[str, Any]) -> None:
        """The gateway, and this worker when it is a container, reach the app's containers."""
        present = set(shown.get("Containers") or {})
        for service, alias in (("gateway", [ALIAS]), ("worker", [])):
            for container in await self._docker.containers.list(filters={"label": [f"mlmesh.service={service}"]}):
                identity = container.id
                if not await self._ours(identity):
                    continue
                self._joined = self._joined or service == "gateway"
                if identity in present:
                    continue
                network = await self._docker.networks.get(name)
                await network.connect({"Container": identity, "EndpointConfig": {"Aliases": alias}})

    async def _ours(self, identity: str) -> bool:
        """Containers of another mesh on this engine stay out: they belong to another Compose project."""
        mine = await self._project(socket.gethostname())
        return mine is not None and mine == await self._project(identity)

    async def _project(self, identity: str) -> str | None:
        try:
            shown = await self._docker.containers.container(identity).show()
        except aiodocker.DockerError:
            return None
        found: str | None = shown["Config"]["Labels"].get("com.docker.compose.project", "")
        return found

    async def join_all(self) -> None:
        """A gateway that was made anew joins the networks again."""
        label = f"mlmesh.installation={self._installation}"
        for one in await self._docker.networks.list(filters={"label": [label]}):
            shown = await self._shown(one["Name"])
            if shown is not None:
                await self._join(one["Name"], shown)

    def mesh_url(self, app: str) -> str:
        if self._joined:
            return f"http://{ALIAS}:{GATEWAY_PORT}"
        public = urlsplit(self._settings.public_url)
        inside = self._gateways.get(self.name(app))
        if public.hostname in LOOPBACK and inside:
            return f"{public.scheme}://{inside}:{public.port or 80}"
        return self._settings.public_url


def _first(subnet: str) -> str:
    return str(next(ipaddress.IPv4Network(subnet).hosts()))
