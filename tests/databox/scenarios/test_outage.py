"""The database is unavailable: routes that need it return 503 with Retry-After, all others work."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.db import Database
from libs.common.settings import Settings
from services.databox.db import metadata
from tests.databox.conftest import TOKEN, Databox, start_databox


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """Settings with a SQLite file that the test moves away."""
    folder = tmp_path / "database"
    folder.mkdir()
    url = f"sqlite+aiosqlite:///{folder / 'db'}"
    new_database = Database(url)
    await new_database.create_all(metadata)
    await new_database.close()
    return Settings.from_values(database=url, store=f"file://{tmp_path / 'store'}", internal_token=TOKEN, data=tmp_path)


@pytest.fixture
async def databox_without_database(settings: Settings) -> AsyncIterator[Databox]:
    """A running databox whose database file is gone: connecting fails as with a stopped server."""
    folder = Path(settings.database_url.removeprefix("sqlite+aiosqlite:///")).parent
    async with start_databox(settings) as first:
        await first.declare_boxes(data=1000)
        await first.put("data/g/f", b"content")
        link = (await first.request_file("GET", "data/g/f")).body["presigned_get_url"]
    os.rename(folder, folder.with_name("gone"))
    async with start_databox(settings) as databox:
        assert link.startswith(databox.settings.public_url.rpartition(":")[0])
        yield databox


async def test_routes_return_503_with_retry_after(databox_without_database: Databox) -> None:
    responses = await asyncio.gather(
        databox_without_database.request_file("GET", "data/g/f"),
        databox_without_database.request_file("GET", "data/g/"),
        databox_without_database.request_file("PUT", "data/g/f", data=b"x"),
        databox_without_database.request_file("DELETE", "data/g/f"),
        databox_without_database.call("GET", "/internal/apps/shop/boxes"),
        databox_without_database.call("PUT", "/internal/apps/shop/publications/p", json={"moves": []}),
    )
    for response in responses:
        assert (response.status, response.headers["Retry-After"], response.body["retryable"]) == (503, "2", True)


async def test_routes_without_database_work(databox_without_database: Databox) -> None:
    log = "/internal/apps/shop/logs/run"
    assert (await databox_without_database.call("POST", f"{log}?offset=0", data=b"line\n")).status == 204
    assert (await databox_without_database.call("GET", log)).content == b"line\n"
    where = {"locations": [{"box": "data", "user": "alice", "group": "g", "file": "f"}], "links": True}
    source = (await databox_without_database.call("POST", "/internal/apps/shop/sources", json=where)).body["sources"][
        0
    ][0]
    assert (await databox_without_database.fetch("GET", source["url"])).content == b"content"


async def test_readiness_names_the_database(databox_without_database: Databox) -> None:
    response = await databox_without_database.fetch("GET", f"{databox_without_database.url}/readyz")
    parts = response.body["parts"]
    assert (response.status, parts["database"]["ready"], parts["store"]["ready"]) == (503, False, True)
    assert (await databox_without_database.fetch("GET", f"{databox_without_database.url}/healthz")).status == 200
