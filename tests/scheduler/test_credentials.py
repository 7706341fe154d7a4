"""Headers of callbacks as the database holds them."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from libs.common.db import Database
from services.scheduler import credentials
from services.scheduler.db.tables import callbacks
from tests.scheduler.conftest import Mesh
from tests.scheduler.test_service import BODY, go_live

SPEC = {"url": "https://example.com/", "events": ["failed"], "headers": {"Authorization": "Bearer sesame"}}


def test_headers_open_for_their_run_and_token_only() -> None:
    kept = credentials.sealed("token", "r_1", SPEC)
    assert (kept["url"], kept["events"], "sesame" in str(kept)) == (SPEC["url"], SPEC["events"], False)
    assert credentials.headers("token", "r_1", kept) == SPEC["headers"]
    for token, run in (("token", "r_2"), ("other", "r_1")):
        with pytest.raises(ValueError, match="MLMESH_INTERNAL_TOKEN has changed"):
            credentials.headers(token, run, kept)


def test_what_an_earlier_release_stored_is_read_and_sealed_once() -> None:
    assert credentials.headers("token", "r_1", SPEC) == SPEC["headers"]
    kept = credentials.sealed("token", "r_1", SPEC)
    assert credentials.sealed("token", "r_1", kept) == kept


async def test_the_database_holds_no_header_in_clear(mesh: Mesh, database_url: str) -> None:
    await go_live(mesh)
    asked = {"url": "https://192.0.43.8/", "headers": {"Authorization": "Bearer sesame"}}
    status, run, _ = await mesh.submit({**BODY, "callback": asked})
    assert (status, run["callback"]["url"]) == (202, asked["url"])
    assert "sesame" not in str(run)
    database = Database(database_url)
    async with database.read() as c:
        stored = (await c.execute(select(callbacks))).all()
    await database.close()
    assert len(stored) == 1
    assert "sesame" not in str(stored)
