"""A network per app, isolated from other apps and from the platform's services.

A gateway or worker that is a container of this engine is connected to it; it could not reach the app otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from aiodocker import Docker

from libs.common import log
from libs.common.errors import Conflict, MeshError, NotFound, Unavailable
from libs.common.http.addresses import is_loopback
from libs.common.settings import DEFAULT_PORTS, Settings
from services.worker.runtime.docker import subnets
from services.worker.runtime.docker.client import (
    EngineRefused,
    call_engine,
    inspect_network,
    list_containers,
    list_networks,
)
from services.worker.runtime.docker.engine_api import NetworkDetails
from services.worker.runtime.docker.gateway_forwarder import GatewayForwarder
from services.worker.runtime.docker.platform_containers import (
    PlatformContainer,
    find_own_container,
    is_same_installation,
    list_platform_containers,
    url_from_container,
)

ROUTES_FILE = Path("/proc/net/route")
GATEWAY_ALIAS = "mlmesh-gateway"
INTERNAL_SUFFIX = "-inner"
CACHE_S = 5.0
"""How long the existence of a network is cached; the reconcile loop maintains it."""
UNUSED_AFTER_S = 600.0
"""A network without containers is removed after this time."""


@dataclass(frozen=True)
class Network:
    name: str
    host_address: str
    """The host's address in the network."""
    has_gateway: bool
    """Whether a gateway container is connected to it."""


class AppNetworks:
    def __init__(self, docker: Docker, settings: Settings, installation: str) -> None:
        self._docker, self._settings, self._installation = docker, settings, installation
        self._used_at: dict[str, float] = {}
        self._checked: dict[str, tuple[float, Network]] = {}
        self._create_lock = asyncio.Lock()
        self._own_container_id: str | None = None
        self._forwarder: GatewayForwarder | None = None

    async def open(self) -> None:
        self._own_container_id = await find_own_container(self._docker)
        address = urlsplit(self._settings.public_url)
        if not self._own_container_id and address.scheme == "http" and is_loopback(address.hostname or ""):
            self._forwarder = GatewayForwarder(self._settings.public_url)

    async def find_worker_container(self) -> PlatformContainer | None:
        """Return this worker's container, if it runs in one."""
        return next(
            (
                container
                for container in await list_platform_containers(self._docker, "worker")
                if container.id == self._own_container_id
            ),
            None,
        )

    async def ensure_network(self, app: str, *, internal: bool = False) -> Network:
        """Return the app's network, created if necessary, with the gateway and worker containers connected.

        `internal`: without access to other networks.
        """
        name = self._network_name(app) + (INTERNAL_SUFFIX if internal else "")
        self._used_at[name] = time.monotonic()
        cached = self._checked.get(name)
        if cached is not None and time.monotonic() - cached[0] < CACHE_S:
            return cached[1]
        async with self._create_lock:
            details = await self._inspect(name) or await self._create_in_free_subnet(name, app)
        worker, gateways = await self._find_platform_containers()
        await self._connect_all([name], worker, gateways)
        network = Network(name, _host_address(details), bool(gateways))
        self._checked[name] = time.monotonic(), network
        return network

    def clear_cache(self) -> None:
        """A cached network turned out to be missing."""
        self._checked.clear()

    async def mesh_url(self, app: str, *, internal: bool = False) -> str:
        """URL of the gateway for containers of this app."""
        network = await self.ensure_network(app, internal=internal)
        if network.has_gateway:
            return f"http://{GATEWAY_ALIAS}:{DEFAULT_PORTS['gateway']}"
        if self._forwarder and (port := await self._forwarder.listen(network.host_address)):
            return f"http://{network.host_address}:{port}"
        return url_from_container(self._settings.public_url, network.host_address)

    async def reconcile(self) -> list[str]:
        """Reconnect a restarted gateway; remove unused networks and return their names."""
        networks = await list_networks(self._docker, self._label)
        remaining = [network for network in networks if not await self._remove_if_unused(network)]
        if remaining:
            worker, gateways = await self._find_platform_containers()
            await self._connect_all([network["Name"] for network in remaining], worker, gateways)
            if self._forwarder and not gateways:
                for network in remaining:
                    await self._forwarder.listen(_host_address(network))
        return [network["Name"] for network in networks if network not in remaining]

    async def close(self) -> None:
        if self._forwarder:
            await self._forwarder.close()

    def _network_name(self, app: str) -> str:
        """Short enough for every engine, unique by a hash of the app, and last in the alphabet.

        The engine routes a container through its first network by name. If that changes, published ports move and
        connections break: those of the gateway, whenever it is connected to an app.
        """
        return f"zz-mlmesh-{self._installation}-{app[:24]}-{hashlib.sha256(app.encode()).hexdigest()[:8]}"

    @property
    def _label(self) -> str:
        return f"mlmesh.installation={self._installation}"

    async def _find_platform_containers(self) -> tuple[PlatformContainer | None, list[PlatformContainer]]:
        """Return the containers of this worker and of this mesh's gateways on this engine."""
        worker = await self.find_worker_container() if self._own_container_id else None
        gateways = await list_platform_containers(self._docker, "gateway")
        public_url = self._settings.public_url
        return worker, [
            container
            for container in gateways
            if is_same_installation(container, worker, self._installation, public_url)
        ]

    async def _connect_all(
        self, names: list[str], worker: PlatformContainer | None, gateways: list[PlatformContainer]
    ) -> None:
        connections = [(gateway, [GATEWAY_ALIAS]) for gateway in gateways] + ([(worker, [])] if worker else [])
        for container, aliases in connections:
            for name in sorted(set(names) - container.networks):
                await self._connect_container(name, container, aliases)

    async def _connect_container(self, name: str, container: PlatformContainer, aliases: list[str]) -> None:
        body = {"Container": container.id, "EndpointConfig": {"Aliases": aliases}}
        try:
            await call_engine((await call_engine(self._docker.networks.get(name))).connect(body))
        except MeshError as error:
            if "already exists" not in error.detail:  # another worker connected it first
                raise

    async def _inspect(self, name: str) -> NetworkDetails | None:
        try:
            return await inspect_network(self._docker, name)
        except NotFound:
            return None

    async def _create_in_free_subnet(self, name: str, app: str) -> NetworkDetails:
        """Create it in the first free subnet; skip one that another worker has taken meanwhile."""
        existing = await list_networks(self._docker)
        configs = [config for network in existing for config in network["IPAM"].get("Config") or ()]
        used = [config["Subnet"] for config in configs if config.get("Subnet")]
        used += subnets.parse_routes(await asyncio.to_thread(_read_routes))
        for subnet in subnets.list_free_subnets(self._settings.app_subnets, used, app):
            if details := await self._create(name, app, subnet):
                return details
        raise Unavailable(
            f"no free subnet for the network of {app} in {self._settings.app_subnets} (MLMESH_APP_SUBNETS)"
        )

    async def _create(self, name: str, app: str, subnet: str) -> NetworkDetails | None:
        config = {
            "Name": name,
            "CheckDuplicate": True,
            "Driver": "bridge",
            "Internal": name.endswith(INTERNAL_SUFFIX),
            "IPAM": {"Driver": "default", "Config": [{"Subnet": subnet}]},
            "Labels": {"mlmesh.installation": self._installation, "mlmesh.app": app},
        }
        try:
            await call_engine(self._docker.networks.create(config))
        except (EngineRefused, Conflict) as error:
            log.get("worker").info("Subnet is in use; trying the next one", subnet=subnet, why=error.detail)
        return await self._inspect(name)

    async def _remove_if_unused(self, network: NetworkDetails) -> bool:
        """Remove a network that was unused for long; return whether it did."""
        name, now = network["Name"], time.monotonic()
        if now - self._used_at.setdefault(name, now) < UNUSED_AFTER_S:
            return False
        if await list_containers(self._docker, self._label, f"mlmesh.app={network['Labels'].get('mlmesh.app', '')}"):
            self._used_at[name] = now
            return False
        await self._remove_network(network["Id"])
        if self._forwarder:
            self._forwarder.stop_listening(_host_address(network))
        del self._used_at[name]
        return True

    async def _remove_network(self, identity: str) -> None:
        try:
            network = await call_engine(self._docker.networks.get(identity))
            for container in (await call_engine(network.show()))["Containers"]:
                await call_engine(network.disconnect({"Container": container, "Force": True}))
            await call_engine(network.delete())
        except (NotFound, Conflict, EngineRefused) as error:
            log.get("worker").info("Could not remove network", why=error.detail)


def _host_address(network: NetworkDetails) -> str:
    return subnets.host_address(network["IPAM"]["Config"][0])


def _read_routes() -> str:
    try:
        return ROUTES_FILE.read_text()
    except OSError:  # not Linux
        return ""
