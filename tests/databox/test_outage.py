"""The database is away: who needs it is told to come again, who does not is served."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.db import Database
from libs.common.settings import Settings
from services.databox.db import metadata
from tests.databox.conftest import TOKEN, Databox, started


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """A database that is a file, which the test takes away."""
    folder = tmp_path / "database"
    folder.mkdir()
    url = f"sqlite+aiosqlite:///{folder / 'db'}"
    made = Database(url)
    await made.create_all(metadata)
    await made.close()
    return Settings.of(database=url, store=f"file://{tmp_path / 'store'}", internal_token=TOKEN, data=tmp_path)


@pytest.fixture
async def away(settings: Settings) -> AsyncIterator[Databox]:
    """A running databox whose database has gone: opening it fails as it does when a server is away."""
    folder = Path(settings.database_url.removeprefix("sqlite+aiosqlite:///")).parent
    async with started(settings) as first:
        await first.boxes(data=1000)
        await first.put("data/g/f", b"content")
        link = (await first.files("GET", "data/g/f")).body["presigned_get_url"]
    os.rename(folder, folder.with_name("gone"))
    async with started(settings) as databox:
        assert link.startswith(databox.settings.public_url.rpartition(":")[0])
        yield databox


async def test_callers_are_told_to_come_again(away: Databox) -> None:
    answers = await asyncio.gather(
        away.files("GET", "data/g/f"),
        away.files("GET", "data/g/"),
        away.files("PUT", "data/g/f", data=b"x"),
        away.files("DELETE", "data/g/f"),
        away.call("GET", "/internal/apps/shop/boxes"),
        away.call("PUT", "/internal/apps/shop/publications/p", json={"moves": []}),
    )
    for answer in answers:
        assert (answer.status, answer.headers["Retry-After"], answer.body["retryable"]) == (503, "2", True)


async def test_what_needs_no_database_is_served(away: Databox) -> None:
    log = "/internal/apps/shop/logs/run"
    assert (await away.call("POST", f"{log}?offset=0", data=b"line\n")).status == 204
    assert (await away.call("GET", log)).content == b"line\n"
    where = {"locations": [{"box": "data", "user": "alice", "group": "g", "file": "f"}], "links": True}
    found = (await away.call("POST", "/internal/apps/shop/sources", json=where)).body["sources"][0][0]
    assert (await away.fetch("GET", found["url"])).content == b"content"


async def test_readiness_names_the_database(away: Databox) -> None:
    answer = await away.fetch("GET", f"{away.url}/readyz")
    parts = answer.body["parts"]
    assert (answer.status, parts["database"]["ready"], parts["store"]["ready"]) == (503, False, True)
    assert (await away.fetch("GET", f"{away.url}/healthz")).status == 200
