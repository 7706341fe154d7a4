"""The change of the secret key: the old one opens values until all have the new one, whenever it is interrupted."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
import structlog

from libs.common import identity
from libs.common.db import Database
from services.registry.secrets.rekeying import warn_of_unreadable
from services.registry.secrets.vault import Vault
from tests.registry.conftest import Registry, StartRegistry
from tests.registry.working_copy import WorkingCopy

REKEY = "/api/v1/secrets/rekey"
SECRETS = "/api/v1/apps/leafscan/secrets"
VALUES = "/internal/apps/leafscan/secrets/values"
NAMES = ("first", "second", "third")
DECLARATION = "apiVersion: mlmesh/v1\nkind: Secret\nmetadata: {{name: {}}}\nspec: {{}}\n"


async def read_values(registry: Registry) -> dict[str, Any]:
    answer = await registry.call("POST", VALUES, {"names": [*NAMES]})
    return dict(answer.body["secrets"]) if answer.status == 200 else {"status": answer.status}


async def deliver(registry: Registry, secret: str) -> int:
    """The answer to a signed ping."""
    body = json.dumps({"zen": "calm"}).encode()
    signature = "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()
    headers = {"X-GitHub-Event": "ping", "X-Hub-Signature-256": signature, "Content-Type": "application/json"}
    return (await registry.call("POST", "/hooks/leafscan", body.decode(), headers)).status


async def test_all_values_get_the_new_key_also_after_a_first_half(
    start_registry: StartRegistry, database_url: str, working_copy: WorkingCopy
) -> None:
    declared = "---\n".join(DECLARATION.format(name) for name in NAMES)
    working_copy.commit({"manifests/secrets.yml": declared})
    async with start_registry(database_url) as registry:
        hook = (await registry.apply(working_copy)).body["webhook"]["secret"]
        for name in NAMES:
            await registry.call("PUT", f"{SECRETS}/{name}", {"data": {"A": f"value of {name}", "B": "2"}})
        expected = await read_values(registry)
    async with start_registry(database_url, secret_key="new key", secret_key_old="a secret key") as registry:
        await registry.call(
            "PUT", f"{SECRETS}/first", {"data": {"A": "of now", "B": "3"}}
        )  # half of it has the new key
        expected["first"] = {"A": "of now", "B": "3"}
        assert await read_values(registry) == expected
        assert (await registry.call("POST", REKEY)).body == {"reencrypted": 5, "current": 2, "unreadable": []}
        assert (await registry.call("POST", REKEY)).body == {"reencrypted": 0, "current": 7, "unreadable": []}
    async with start_registry(database_url, secret_key="new key") as registry:
        assert await read_values(registry) == expected
        assert await deliver(registry, hook) == 200
        assert (await registry.get("/internal/access"))["apps"]["leafscan"]["secrets"] == dict.fromkeys(NAMES, 1) | {
            "first": 2
        }
    async with start_registry(database_url) as registry:
        assert await read_values(registry) == {"status": 500}


async def test_what_no_key_opens_is_named_and_stays(start_registry: StartRegistry, sqlite_url: str) -> None:
    async with start_registry(sqlite_url) as registry:
        await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
        await registry.call("PUT", f"{SECRETS}/first", {"data": {"A": "1"}})
    async with start_registry(sqlite_url, secret_key="new key", secret_key_old="wrong key") as registry:
        answer = await registry.call("POST", REKEY)
        assert answer.body["unreadable"] == [{"app": "leafscan", "name": "first", "key": "A"}]
        assert (answer.body["reencrypted"], answer.body["current"]) == (0, 0)
        await registry.call("PUT", f"{SECRETS}/second", {"data": {"A": "2"}})
    async with start_registry(sqlite_url) as registry:
        assert (await registry.call("POST", VALUES, {"names": ["first"]})).body["secrets"] == {"first": {"A": "1"}}
        assert (await registry.call("PUT", f"{SECRETS}/second", {"data": {"A": "2"}})).status == 204  # set again
        assert (await registry.call("POST", VALUES, {"names": ["second"]})).body["secrets"] == {"second": {"A": "2"}}


@pytest.mark.parametrize(("old_key", "count"), [("", 2), ("wrong key", 2), ("a secret key", 0)])
async def test_values_that_no_key_opens_are_told_at_the_start(
    start_registry: StartRegistry, sqlite_url: str, old_key: str, count: int
) -> None:
    async with start_registry(sqlite_url) as registry:
        await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
        await registry.call("PUT", f"{SECRETS}/first", {"data": {"A": "1", "B": "2"}})
    vault, database = Vault("new key", old_key), Database(sqlite_url)
    with structlog.testing.capture_logs() as lines:
        await warn_of_unreadable(database, vault)
    await database.close()
    expected = {
        "event": "Secrets unreadable", "log_level": "error", "count": count, "readable": 0,
        "advice": "start with the former key in MLMESH_SECRET_KEY_OLD, then: mlmesh secret rekey",
    }  # fmt: skip
    assert [{key: line.get(key) for key in expected} for line in lines] == ([expected] if count else [])


async def test_only_an_operator_may(registry: Registry) -> None:
    assert (await registry.call("POST", REKEY, headers={identity.HEADER_SCOPES: "write"})).status == 403
