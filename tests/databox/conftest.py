"""Databox as a real service: on a folder and SQLite, and on MinIO and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pytest
from multidict import CIMultiDictProxy
from yarl import URL

from libs.common.bus import Consumer, Queue
from libs.common.bus.memory import MemoryBus
from libs.common.db import Database
from libs.common.http.server import bind, running, url_of
from libs.common.identity import SCOPES
from libs.common.messages import FileChanged
from libs.common.settings import Settings
from services.databox.app import create
from services.databox.db import metadata

TOKEN = "internal"
DEADLINE_S = 10.0
PLACES = ["embedded", "servers"]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    content: bytes
    body: Any


@dataclass(frozen=True)
class Databox:
    """The running service and how the others call it."""

    url: str
    session: aiohttp.ClientSession
    settings: Settings
    doorbells: Consumer

    async def call(self, method: str, path: str, **how: Any) -> Answer:
        """As a caller who may write, unless `headers` say otherwise."""
        headers = {"Authorization": f"Bearer {TOKEN}", SCOPES: "write:shop", **how.pop("headers", {})}
        return await self.fetch(method, self.url + path, headers=headers, **how)

    async def fetch(self, method: str, url: str, **how: Any) -> Answer:
        async with self.session.request(method, URL(url, encoded=True), **how) as answer:
            content = await answer.read()
            body = await answer.json(content_type=None) if "json" in answer.headers.get("Content-Type", "") else None
            return Answer(answer.status, answer.headers, content, body)

    async def files(self, method: str, path: str, *, user: str = "alice", query: str = "", **how: Any) -> Answer:
        """`path` is `<box>/<group>/<file>`, not encoded."""
        where = f"/internal/apps/shop/users/{user}/files/{quote(path)}"
        return await self.call(method, where + (f"?{query}" if query else ""), **how)

    async def put(self, path: str, content: bytes = b"x", *, user: str = "alice") -> Answer:
        """Whatever was there."""
        answer = await self.files("PUT", path, user=user, query="overwrite=true", data=content)
        assert answer.status == 201, answer.body
        return answer

    async def names(self, path: str, query: str = "", *, user: str = "alice") -> list[str]:
        answer = await self.files("GET", path, user=user, query=query)
        assert answer.status == 200, answer.body
        return [item["name"] for item in answer.body["items"]]

    async def boxes(self, **capacities: int) -> None:
        body = {"boxes": {name: {"capacity": capacity} for name, capacity in capacities.items()}}
        assert (await self.call("PUT", "/internal/apps/shop/boxes", json=body)).status == 204

    async def box(self, name: str = "data") -> dict[str, Any]:
        answer = await self.call("GET", "/internal/apps/shop/boxes")
        [found] = [item for item in answer.body["items"] if item["name"] == name]
        assert isinstance(found, dict)
        return found

    async def heard(self) -> FileChanged:
        async with asyncio.timeout(DEADLINE_S):
            message = (await self.doorbells.next()).message
        assert isinstance(message, FileChanged)
        return message


Start = Callable[[Settings], AbstractAsyncContextManager[Databox]]


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[Databox]:
    """A replica of the service of these settings, on a port of its own."""
    bound, bus = bind("127.0.0.1", 0), MemoryBus()
    own = settings.with_values(databox_url=url_of(bound), public_url=url_of(bound).replace("127.0.0.1", "localhost"))
    async with (
        bus.consume(Queue("tests", ("file.changed.v1",))) as doorbells,
        running(create(own, bus), bound),
        aiohttp.ClientSession() as session,
    ):
        yield Databox(url_of(bound), session, own, doorbells)


@pytest.fixture
def every_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], tuple[str, str]]:
    """The URLs of a new database and an empty store: `directory`, `minio` or `versitygw`."""

    def urls(store: str) -> tuple[str, str]:
        if store == "directory":
            return request.getfixturevalue("sqlite_url"), f"file://{tmp_path / 'store'}"
        servers = {"minio": "minio_url", "versitygw": "s3_second_url"}
        return request.getfixturevalue("sqlite_url"), request.getfixturevalue(servers[store])

    return urls


@pytest.fixture(params=PLACES)
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Of a new database and an empty store."""
    if request.param == "embedded":
        return request.getfixturevalue("sqlite_url"), f"file://{tmp_path / 'store'}"
    return request.getfixturevalue("postgres_url"), request.getfixturevalue("minio_url")


@pytest.fixture
async def settings(urls: tuple[str, str], tmp_path: Path) -> Settings:
    """Of an empty store and a database with the tables."""
    database, store = urls
    made = Database(database)
    await made.create_all(metadata)
    await made.close()
    direct = (
        {"store_public_url": f"http://{urlsplit(store).netloc.rpartition('@')[2]}"} if store.startswith("s3") else {}
    )
    return Settings.of(database=database, store=store, internal_token=TOKEN, data=tmp_path, **direct)


@pytest.fixture
async def databox(settings: Settings) -> AsyncIterator[Databox]:
    """With the box `data` of 1000 bytes in the app `shop`."""
    async with started(settings) as running_databox:
        await running_databox.boxes(data=1000)
        yield running_databox
