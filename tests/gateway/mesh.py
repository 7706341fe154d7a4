"""A gateway on a real socket between stand-ins of the other services and of two components."""

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

from libs.common.http.server import bind, running, url_of
from libs.common.settings import Settings
from services.gateway.app import create
from tests.gateway.fake_server import Asked, Reply, StandIn, serving

INTERNAL = "internal-token"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
TOKENS = {
    "owner": ["write:demo"],
    "reader": ["read:demo"],
    "stranger": ["write:other"],
    "root": ["admin"],
    "all": ["read"],
}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


ALICE = basic("alice", "secret")


@dataclass
class Registry(StandIn):
    revoked: set[str] = field(default_factory=set)
    left: dict[str, float] = field(default_factory=dict)
    """Seconds for which a token is good yet."""

    async def decide(self, asked: Asked) -> Reply:
        if asked.target != "/internal/tokens/verify":
            return await super().decide(asked)
        token = asked.body.decode().split('"')[3]
        if token not in TOKENS or token in self.revoked:
            return Reply(401, {"detail": "unknown"})
        return Reply(document={"name": f"{token}s", "scopes": TOKENS[token], "expires_in": self.left.get(token)})


@dataclass
class Scheduler(StandIn):
    version: int = 1
    apps: dict[str, Any] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def decide(self, asked: Asked) -> Reply:
        path, _, query = asked.target.partition("?")
        if path != "/internal/table":
            return await super().decide(asked)
        if f"since={self.version}&" in query:
            return await self._wait()
        return self._table()

    async def _wait(self) -> Reply:
        self.news.clear()
        try:
            async with asyncio.timeout(0.2):
                await self.news.wait()
        except TimeoutError:
            return Reply(304, pieces=[b""])
        return self._table()

    def _table(self) -> Reply:
        return Reply(document={"version": self.version, "full": True, "apps": self.apps})

    def publish(self, apps: dict[str, Any]) -> None:
        self.apps, self.version = apps, self.version + 1
        self.news.set()


def document(*ports: int, **over: Any) -> dict[str, Any]:
    return {
        "apis": [
            api("ml", "digits", "classifier", basic="people", identity=True),
            api("ml", "keyed", "classifier", api_key=True, identity=True),
            api("ml", "open", "classifier", none=True, identity=True),
            api(
                "pipeline",
                "train",
                "training",
                basic="people",
                inputs=[{"name": "data", "type": {"datatypes": ["FILE"]}}],
            ),
            api("files", None, None, basic="people", api_key=True),
        ],
        "users": {"people": {"alice": CHEAP.hash("secret")}},
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
        **over,
    }


def api(target: str, path: str | None, name: str | None, **over: Any) -> dict[str, Any]:
    auth = {"basic": over.pop("basic", None), "api_key": over.pop("api_key", False), "none": over.pop("none", False)}
    return {
        "target": target,
        "path": path,
        "name": name,
        "title": "",
        "auth": auth,
        "inputs": [],
        "outputs": [],
        **over,
    }


@dataclass
class Mesh:
    registry: Registry
    scheduler: Scheduler
    databox: StandIn
    component: StandIn
    settings: Settings
    session: aiohttp.ClientSession
    url: str = ""

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any, Any]:
        """Status, headers, and the decoded answer."""
        target = URL(self.url + path, encoded=True)
        async with self.session.request(method, target, allow_redirects=False, **more) as answer:
            is_json = "json" in answer.content_type
            return answer.status, answer.headers, await (answer.json(content_type=None) if is_json else answer.read())

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[None]:
        bound = bind("127.0.0.1", 0)
        self.url = url_of(bound)
        async with running(create(self.settings), bound):
            yield


@asynccontextmanager
async def together(parts: Sequence[AbstractAsyncContextManager[Any]]) -> AsyncIterator[None]:
    """All at once: a server takes a moment to stop."""
    await asyncio.gather(*(part.__aenter__() for part in parts))
    try:
        yield
    finally:
        await asyncio.gather(*(part.__aexit__(None, None, None) for part in parts))


@asynccontextmanager
async def services(folder: Path, **over: Any) -> AsyncIterator[Mesh]:
    """Everything but the gateway."""
    registry, scheduler, databox, component = Registry(), Scheduler(), StandIn(), StandIn()
    parts = [serving(one) for one in (registry, scheduler, databox, component)]
    async with together(parts), aiohttp.ClientSession() as session:
        scheduler.apps = {"demo": document(component.port)}
        settings = Settings.of(
            data=folder, internal_token=INTERNAL, public_url="http://mesh.example", registry_url=registry.url,
            scheduler_url=scheduler.url, databox_url=databox.url, **over,
        )  # fmt: skip
        yield Mesh(registry, scheduler, databox, component, settings, session)


async def until(true: Callable[[], bool]) -> None:
    """Polls with a deadline."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  nothing tells when
            await asyncio.sleep(0.01)


async def published(mesh: Mesh, app: dict[str, Any]) -> None:
    """The app `demo` is this from now on, and the gateway has heard of it."""
    mesh.scheduler.publish({"demo": app})
    before = len(mesh.scheduler.asked)
    await until(lambda: len(mesh.scheduler.asked) > before + 1)


async def ready(mesh: Mesh) -> None:
    async with asyncio.timeout(10):
        while (await mesh.call("GET", "/readyz"))[0] != 200:  # noqa: ASYNC110  nothing tells when
            await asyncio.sleep(0.01)
