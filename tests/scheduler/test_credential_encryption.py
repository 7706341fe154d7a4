"""Headers of callbacks and tokens of instances as the database holds them."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from libs.common.db import Database
from services.scheduler import credential_encryption
from services.scheduler.db.tables import callbacks, metadata, tasks
from services.scheduler.model.callback import CallbackRequest
from services.scheduler.model.task import Task
from tests.scheduler.conftest import Mesh, healthy_status
from tests.scheduler.scenarios.test_runs import BODY, go_live

SPEC = CallbackRequest(url="https://example.com/", events=("failed",), headers={"Authorization": "Bearer sesame"})


def test_headers_open_for_their_run_and_token_only() -> None:
    kept = credential_encryption.encrypt_headers("token", "r_1", SPEC)
    assert (kept.url, kept.events, "sesame" in str(kept)) == (SPEC.url, SPEC.events, False)
    assert credential_encryption.decrypt_headers("token", "r_1", kept) == SPEC.headers
    for token, run in (("token", "r_2"), ("other", "r_1")):
        with pytest.raises(ValueError, match="MLMESH_INTERNAL_TOKEN has changed"):
            credential_encryption.decrypt_headers(token, run, kept)


def test_what_an_earlier_release_stored_is_read_and_sealed_once() -> None:
    assert credential_encryption.decrypt_headers("token", "r_1", SPEC) == SPEC.headers
    kept = credential_encryption.encrypt_headers("token", "r_1", SPEC)
    assert credential_encryption.encrypt_headers("token", "r_1", kept) == kept


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


async def test_the_worker_and_the_gateway_get_an_instance_s_token_and_the_database_has_none(
    mesh: Mesh, database_url: str
) -> None:
    lease = await go_live(mesh)
    token = lease["spec"]["instance_token"]
    endpoints = (await mesh.get_app_routes())["components"]["echo"]["endpoints"]
    assert [endpoint["token"] for endpoint in endpoints] == [token]
    assert len(token) >= 32
    database = Database(database_url)
    async with database.read() as c:
        stored = [row for table in metadata.sorted_tables for row in (await c.execute(select(table))).all()]
    await database.close()
    assert lease["task"] in str(stored)
    assert token not in str(stored)


async def test_an_instance_that_an_earlier_release_started_keeps_its_token(mesh: Mesh, database_url: str) -> None:
    lease = await go_live(mesh)
    database = Database(database_url)
    async with database.write() as c:
        spec = (await c.execute(select(tasks.c.spec).where(tasks.c.id == lease["task"]))).scalar_one()
        given = {**spec, "instance_token": "given"}
        await c.execute(update(tasks).where(tasks.c.id == lease["task"]).values(spec=given))
    await database.close()
    await mesh.send_heartbeat(healthy_status(lease, state="unhealthy"))
    await mesh.send_heartbeat(healthy_status(lease))

    async def routed() -> bool:
        return [one["token"] for one in (await mesh.get_app_routes())["components"]["echo"]["endpoints"]] == ["given"]

    await mesh.until(routed)


def test_tokens_of_two_instances_and_of_two_meshes_differ() -> None:
    made = {
        credential_encryption.instance_token(
            mesh, Task(id=task, kind="instance", app="a", name="b", state="ready", created_at=0)
        )
        for mesh in ("one", "two")
        for task in ("i_1", "i_2")
    }
    assert len(made) == 4
