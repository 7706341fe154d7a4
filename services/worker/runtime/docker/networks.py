"""A network per app, which reaches neither other apps nor the platform's own services.

A gateway or worker that is itself a container of this engine is joined to it: it could not reach the app otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiodocker import Docker

from libs.common import log
from libs.common.errors import Conflict, MeshError, NotFound, Unavailable
from libs.common.http.addresses import is_loopback
from libs.common.settings import PORTS, Settings
from services.worker.runtime.docker import subnets
from services.worker.runtime.docker.client import Refused, answered, labelled
from services.worker.runtime.docker.gateway_forwarder import Forwarder
from services.worker.runtime.docker.platform_containers import Member, members, ours, own_container, seen_from_inside

ROUTES = Path("/proc/net/route")
ALIAS = "mlmesh-gateway"
INNER = "-inner"
SURE_S = 5.0
"""How long a network that was there is taken to be there; the converging loop keeps it so."""
UNUSED_S = 600.0
"""How long a network without containers is kept."""


@dataclass(frozen=True)
class Network:
    name: str
    host: str
    """The host's address in it."""
    gateway: bool
    """A gateway that is a container is in it."""


class Networks:
    def __init__(self, docker: Docker, settings: Settings, installation: str) -> None:
        self._docker, self._settings, self._installation = docker, settings, installation
        self._used: dict[str, float] = {}
        self._made_sure: dict[str, tuple[float, Network]] = {}
        self._making = asyncio.Lock()
        self._own: str | None = None
        self._forwarder: Forwarder | None = None

    async def open(self) -> None:
        self._own = await own_container(self._docker)
        address = urlsplit(self._settings.public_url)
        if not self._own and address.scheme == "http" and is_loopback(address.hostname or ""):
            self._forwarder = Forwarder(self._settings.public_url)

    async def worker(self) -> Member | None:
        """This worker's own container, if it is one."""
        return next((one for one in await members(self._docker, "worker") if one.id == self._own), None)

    async def ensure(self, app: str, *, inner: bool = False) -> Network:
        """The app's network, with our gateway and this worker in it where they are containers.

        `inner`: one that leads nowhere else.
        """
        name = self._name(app) + (INNER if inner else "")
        self._used[name] = time.monotonic()
        made = self._made_sure.get(name)
        if made is not None and time.monotonic() - made[0] < SURE_S:
            return made[1]
        async with self._making:
            found = await self._show(name) or await self._make(name, app)
        worker, gateways = await self._members()
        await self._join([name], worker, gateways)
        network = Network(name, _host(found), bool(gateways))
        self._made_sure[name] = time.monotonic(), network
        return network

    def forget(self) -> None:
        """A network is not there that should be."""
        self._made_sure.clear()

    async def mesh_url(self, app: str, *, inner: bool = False) -> str:
        """Where the gateway answers for containers of this app."""
        network = await self.ensure(app, inner=inner)
        if network.gateway:
            return f"http://{ALIAS}:{PORTS['gateway']}"
        if self._forwarder and (port := await self._forwarder.listen(network.host)):
            return f"http://{network.host}:{port}"
        return seen_from_inside(self._settings.public_url, network.host)

    async def converge(self) -> list[str]:
        """A restarted gateway is joined again; networks without use go: their names."""
        listed = await answered(self._docker.networks.list(filters={"label": self._label}))
        kept = [network for network in listed if not await self._removed(network)]
        if kept:
            worker, gateways = await self._members()
            await self._join([network["Name"] for network in kept], worker, gateways)
            if self._forwarder and not gateways:
                for network in kept:
                    await self._forwarder.listen(_host(network))
        return [network["Name"] for network in listed if network not in kept]

    async def close(self) -> None:
        if self._forwarder:
            await self._forwarder.close()

    def _name(self, app: str) -> str:
        """Short enough for every engine, told apart by the whole name, and last in the alphabet.

        Of a container's networks the engine routes through the first by name; when that changes, published ports move
        and their connections break: the gateway's, whenever it is joined to an app.
        """
        return f"zz-mlmesh-{self._installation}-{app[:24]}-{hashlib.sha256(app.encode()).hexdigest()[:8]}"

    @property
    def _label(self) -> str:
        return f"mlmesh.installation={self._installation}"

    async def _members(self) -> tuple[Member | None, list[Member]]:
        """This worker and our gateways, as far as they are containers of this engine."""
        worker = await self.worker() if self._own else None
        gateways = await members(self._docker, "gateway")
        public_url = self._settings.public_url
        return worker, [one for one in gateways if ours(one, worker, self._installation, public_url)]

    async def _join(self, names: list[str], worker: Member | None, gateways: list[Member]) -> None:
        wanted = [(one, [ALIAS]) for one in gateways] + ([(worker, [])] if worker else [])
        for member, aliases in wanted:
            for name in sorted(set(names) - member.networks):
                await self._connect(name, member, aliases)

    async def _connect(self, name: str, member: Member, aliases: list[str]) -> None:
        body = {"Container": member.id, "EndpointConfig": {"Aliases": aliases}}
        try:
            await answered((await answered(self._docker.networks.get(name))).connect(body))
        except MeshError as error:
            if "already exists" not in error.detail:  # another worker was faster
                raise

    async def _show(self, name: str) -> dict[str, Any] | None:
        try:
            return await answered((await answered(self._docker.networks.get(name))).show())
        except NotFound:
            return None

    async def _make(self, name: str, app: str) -> dict[str, Any]:
        """In the first free piece; one that the engine finds taken (another worker was faster) is passed over."""
        existing = await answered(self._docker.networks.list())
        parts = [part for one in existing for part in one["IPAM"].get("Config") or ()]
        used = [part["Subnet"] for part in parts if part.get("Subnet")]
        used += subnets.routed(await asyncio.to_thread(_routes))
        for subnet in subnets.free(self._settings.app_subnets, used, app):
            if found := await self._made(name, app, subnet):
                return found
        raise Unavailable(f"there is no free subnet for the network of {app} in {self._settings.app_subnets}")

    async def _made(self, name: str, app: str, subnet: str) -> dict[str, Any] | None:
        document = {
            "Name": name,
            "CheckDuplicate": True,
            "Driver": "bridge",
            "Internal": name.endswith(INNER),
            "IPAM": {"Driver": "default", "Config": [{"Subnet": subnet}]},
            "Labels": {"mlmesh.installation": self._installation, "mlmesh.app": app},
        }
        try:
            await answered(self._docker.networks.create(document))
        except (Refused, Conflict) as error:
            log.get("worker").info("subnet is taken", subnet=subnet, why=error.detail)
        return await self._show(name)

    async def _removed(self, network: dict[str, Any]) -> bool:
        """Whether it had no use for long, and went."""
        name, now = network["Name"], time.monotonic()
        if now - self._used.setdefault(name, now) < UNUSED_S:
            return False
        if await labelled(self._docker, self._label, f"mlmesh.app={network['Labels'].get('mlmesh.app', '')}"):
            self._used[name] = now
            return False
        await self._remove(network["Id"])
        if self._forwarder:
            self._forwarder.forget(_host(network))
        del self._used[name]
        return True

    async def _remove(self, identity: str) -> None:
        try:
            network = await answered(self._docker.networks.get(identity))
            for container in (await answered(network.show()))["Containers"]:
                await answered(network.disconnect({"Container": container, "Force": True}))
            await answered(network.delete())
        except (NotFound, Conflict, Refused) as error:
            log.get("worker").info("network stays", why=error.detail)


def _host(network: dict[str, Any]) -> str:
    return subnets.host(network["IPAM"]["Config"][0])


def _routes() -> str:
    try:
        return ROUTES.read_text()
    except OSError:  # not Linux
        return ""
