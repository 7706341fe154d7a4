"""Databox as a real service: on a folder and SQLite, and on MinIO and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

from libs.common.bus import Consumer, Queue
from libs.common.bus.memory import MemoryBus
from libs.common.identity import HEADER_SCOPES
from libs.common.messages import FileChanged
from libs.common.settings import Settings

if TYPE_CHECKING:
    import aiohttp
    from multidict import CIMultiDictProxy

TOKEN = "internal"
DEADLINE_S = 60.0
ENVIRONMENTS = ["embedded", "servers"]


@dataclass(frozen=True)
class Response:
    status: int
    headers: CIMultiDictProxy[str]
    content: bytes
    body: Any


@dataclass(frozen=True)
class Databox:
    """The running service, and a client for its routes."""

    url: str
    session: aiohttp.ClientSession
    settings: Settings
    change_consumer: Consumer

    async def call(self, method: str, path: str, **how: Any) -> Response:
        """A request with write permission, unless `headers` override it."""
        headers = {"Authorization": f"Bearer {TOKEN}", HEADER_SCOPES: "write:shop", **how.pop("headers", {})}
        return await self.fetch(method, self.url + path, headers=headers, **how)

    async def fetch(self, method: str, url: str, **how: Any) -> Response:
        from yarl import URL

        async with self.session.request(method, URL(url, encoded=True), **how) as response:
            content = await response.read()
            body = (
                await response.json(content_type=None) if "json" in response.headers.get("Content-Type", "") else None
            )
            return Response(response.status, response.headers, content, body)

    async def request_file(
        self, method: str, path: str, *, user: str = "alice", query: str = "", **how: Any
    ) -> Response:
        """`path` is `<box>/<group>/<file>`, not encoded."""
        where = f"/internal/apps/shop/users/{user}/files/{quote(path)}"
        return await self.call(method, where + (f"?{query}" if query else ""), **how)

    async def put(self, path: str, content: bytes = b"x", *, user: str = "alice") -> Response:
        """Store a file; replaces an existing one."""
        response = await self.request_file("PUT", path, user=user, query="overwrite=true", data=content)
        assert response.status == 201, response.body
        return response

    async def list_names(self, path: str, query: str = "", *, user: str = "alice") -> list[str]:
        response = await self.request_file("GET", path, user=user, query=query)
        assert response.status == 200, response.body
        return [item["name"] for item in response.body["items"]]

    async def declare_boxes(self, **capacities: int) -> None:
        body = {"boxes": {name: {"capacity": capacity} for name, capacity in capacities.items()}}
        assert (await self.call("PUT", "/internal/apps/shop/boxes", json=body)).status == 204

    async def get_box(self, name: str = "data") -> dict[str, Any]:
        response = await self.call("GET", "/internal/apps/shop/boxes")
        [box] = [item for item in response.body["items"] if item["name"] == name]
        assert isinstance(box, dict)
        return box

    async def next_change(self) -> FileChanged:
        async with asyncio.timeout(DEADLINE_S):
            message = (await self.change_consumer.next()).message
        assert isinstance(message, FileChanged)
        return message


StartDatabox = Callable[[Settings], AbstractAsyncContextManager[Databox]]


@asynccontextmanager
async def start_databox(settings: Settings) -> AsyncIterator[Databox]:
    """Start a replica of the service with these settings, on its own port."""
    import aiohttp

    from libs.common.http.server import bind, run_server, socket_url
    from services.databox.app import create

    bound, bus = bind("127.0.0.1", 0), MemoryBus()
    service_settings = settings.with_values(
        databox_url=socket_url(bound), public_url=socket_url(bound).replace("127.0.0.1", "localhost")
    )
    async with (
        bus.consume(Queue("tests", ("file.changed.v1",))) as change_consumer,
        run_server(create(service_settings, bus), bound),
        aiohttp.ClientSession() as session,
    ):
        yield Databox(socket_url(bound), session, service_settings, change_consumer)


@pytest.fixture
def store_urls(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], tuple[str, str]]:
    """The URLs of a new database and an empty store: `directory`, `minio` or `versitygw`."""

    def urls(store: str) -> tuple[str, str]:
        if store == "directory":
            return request.getfixturevalue("sqlite_url"), f"file://{tmp_path / 'store'}"
        servers = {"minio": "minio_url", "versitygw": "s3_second_url"}
        return request.getfixturevalue("sqlite_url"), request.getfixturevalue(servers[store])

    return urls


@pytest.fixture(params=ENVIRONMENTS)
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """URLs of a new database and an empty store."""
    if request.param == "embedded":
        return request.getfixturevalue("sqlite_url"), f"file://{tmp_path / 'store'}"
    return request.getfixturevalue("postgres_url"), request.getfixturevalue("minio_url")


@pytest.fixture
async def settings(urls: tuple[str, str], tmp_path: Path) -> Settings:
    """Settings with an empty store and a database that has the tables."""
    from libs.common.db import Database
    from services.databox.db import metadata

    database, store = urls
    new_database = Database(database)
    await new_database.create_all(metadata)
    await new_database.close()
    direct = (
        {"store_public_url": f"http://{urlsplit(store).netloc.rpartition('@')[2]}"} if store.startswith("s3") else {}
    )
    return Settings.from_values(database=database, store=store, internal_token=TOKEN, data=tmp_path, **direct)


@pytest.fixture
async def databox(settings: Settings) -> AsyncIterator[Databox]:
    """With the box `data` of 1000 bytes in the app `shop`."""
    async with start_databox(settings) as running_databox:
        await running_databox.declare_boxes(data=1000)
        yield running_databox
