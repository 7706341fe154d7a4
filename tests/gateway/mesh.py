"""A gateway on a real socket, with fake servers for the other services and a component."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from argon2 import PasswordHasher
from yarl import URL

from libs.common.http.server import bind, run_server, socket_url
from libs.common.protocol.route_table import RouteTableChange
from libs.common.settings import Settings
from services.gateway.app import create
from services.gateway.routing.route_table import RouteTable, apply_change
from tests.gateway.fake_server import FakeServer, ReceivedRequest, Reply, serve

DEADLINE_S = 60.0
INTERNAL = "internal-token"
CHEAP_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
TOKENS = {
    "owner": ["write:demo"],
    "reader": ["read:demo"],
    "stranger": ["write:other"],
    "root": ["admin"],
    "all": ["read"],
}


def basic_auth(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def bearer_auth(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


ALICE = basic_auth("alice", "secret")


@dataclass
class Registry(FakeServer):
    revoked: set[str] = field(default_factory=set)
    seconds_left: dict[str, float] = field(default_factory=dict)
    """Remaining validity in seconds, by token."""

    async def build_reply(self, request: ReceivedRequest) -> Reply:
        if request.target != "/internal/tokens/verify":
            return await super().build_reply(request)
        token = request.body.decode().split('"')[3]
        if token not in TOKENS or token in self.revoked:
            return Reply(401, {"detail": "unknown"})
        return Reply(
            document={"name": f"{token}s", "scopes": TOKENS[token], "expires_in": self.seconds_left.get(token)}
        )


@dataclass
class Scheduler(FakeServer):
    version: int = 1
    apps: dict[str, Any] = field(default_factory=dict)
    published: asyncio.Event = field(default_factory=asyncio.Event)

    async def build_reply(self, request: ReceivedRequest) -> Reply:
        path, _, query = request.target.partition("?")
        if path != "/internal/table":
            return await super().build_reply(request)
        if f"since={self.version}&" in query:
            return await self._wait_for_change()
        return self._table()

    async def _wait_for_change(self) -> Reply:
        self.published.clear()
        try:
            async with asyncio.timeout(0.2):
                await self.published.wait()
        except TimeoutError:
            return Reply(304, pieces=[b""])
        return self._table()

    def _table(self) -> Reply:
        return Reply(document={"version": self.version, "full": True, "apps": self.apps})

    def publish(self, apps: dict[str, Any]) -> None:
        self.apps, self.version = apps, self.version + 1
        self.published.set()


def app_document(*ports: int, **overrides: Any) -> dict[str, Any]:
    return {
        "apis": [
            api_document("ml", "digits", "classifier", basic="people", identity=True),
            api_document("ml", "keyed", "classifier", api_key=True, identity=True),
            api_document("ml", "open", "classifier", none=True, identity=True),
            api_document(
                "pipeline",
                "train",
                "training",
                basic="people",
                inputs=[{"name": "data", "type": {"datatypes": ["FILE"]}}],
            ),
            api_document("files", None, None, basic="people", api_key=True),
        ],
        "users": {"people": {"alice": CHEAP_HASHER.hash("secret")}},
        "keys": {hashlib.sha256(b"key-of-bob").hexdigest(): "bob"},
        "boxes": ["data", "private"],
        "components": {
            "classifier": {
                "timeout": 30.0,
                "concurrency": 1,
                "boxes": ["data"],
                "reason": None if ports else {"code": "image", "detail": "still pulled"},
                "openapi": {"openapi": "3.1.0", "info": {"title": "asleep", "version": "1"}, "paths": {}},
                "endpoints": [
                    {"id": f"t{port}", "host": "127.0.0.1", "port": port, "token": f"token-{port}"} for port in ports
                ],
            }
        },
        **overrides,
    }


def apply_document(table: RouteTable, document: dict[str, Any]) -> RouteTable:
    """The table after a response of the scheduler."""
    return apply_change(table, RouteTableChange.model_validate(document))


def api_document(target: str, path: str | None, name: str | None, **overrides: Any) -> dict[str, Any]:
    auth = {
        "basic": overrides.pop("basic", None),
        "api_key": overrides.pop("api_key", False),
        "none": overrides.pop("none", False),
    }
    return {
        "target": target,
        "path": path,
        "name": name,
        "title": "",
        "auth": auth,
        "inputs": [],
        "outputs": [],
        **overrides,
    }


@dataclass
class Mesh:
    registry: Registry
    scheduler: Scheduler
    databox: FakeServer
    component: FakeServer
    settings: Settings
    session: aiohttp.ClientSession
    url: str = ""

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
        """Status, headers, and the decoded response."""
        target = URL(self.url + path, encoded=True)
        async with self.session.request(method, target, allow_redirects=False, **options) as answer:
            is_json = "json" in answer.content_type
            return answer.status, answer.headers, await (answer.json(content_type=None) if is_json else answer.read())

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[None]:
        bound = bind("127.0.0.1", 0)
        self.url = socket_url(bound)
        async with run_server(create(self.settings), bound):
            yield


@asynccontextmanager
async def enter_all(parts: Sequence[AbstractAsyncContextManager[Any]]) -> AsyncIterator[None]:
    """Start and stop all concurrently: a server takes a moment to stop."""
    await asyncio.gather(*(part.__aenter__() for part in parts))
    try:
        yield
    finally:
        await asyncio.gather(*(part.__aexit__(None, None, None) for part in parts))


@asynccontextmanager
async def run_services(folder: Path, **overrides: Any) -> AsyncIterator[Mesh]:
    """All servers except the gateway."""
    registry, scheduler, databox, component = Registry(), Scheduler(), FakeServer(), FakeServer()
    parts = [serve(service) for service in (registry, scheduler, databox, component)]
    async with enter_all(parts), aiohttp.ClientSession() as session:
        scheduler.apps = {"demo": app_document(component.port)}
        settings = Settings.from_values(
            data=folder, internal_token=INTERNAL, public_url="http://mesh.example", registry_url=registry.url,
            scheduler_url=scheduler.url, databox_url=databox.url, **overrides,
        )  # fmt: skip
        yield Mesh(registry, scheduler, databox, component, settings, session)


async def wait_until(condition: Callable[[], bool]) -> None:
    """Poll a condition, with a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  nothing tells when
            await asyncio.sleep(0.01)


async def publish_app(mesh: Mesh, app: dict[str, Any]) -> None:
    """Publish a new version of the app `demo`, and wait until the gateway has it."""
    mesh.scheduler.publish({"demo": app})
    requests_before = len(mesh.scheduler.requests)
    await wait_until(lambda: len(mesh.scheduler.requests) > requests_before + 1)


async def wait_until_ready(mesh: Mesh) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while (await mesh.call("GET", "/readyz"))[0] != 200:  # noqa: ASYNC110  nothing tells when
            await asyncio.sleep(0.01)
