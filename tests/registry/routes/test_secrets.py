"""Secrets: values go in, verifiers and versions come out, and values only to a worker."""

import sqlite3
from pathlib import Path

import argon2
import pytest

from libs.common import identity
from tests.registry.conftest import Registry
from tests.registry.repository import PROTECTED_API, Work

SECRETS = "/api/v1/apps/leafscan/secrets"
VALUES = "/internal/apps/leafscan/secrets/values"


async def made(registry: Registry) -> None:
    await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})


async def test_values_are_kept_listed_by_key_and_given_to_the_worker(either: Registry) -> None:
    await made(either)
    assert (await either.call("PUT", f"{SECRETS}/keys", {"data": {"A": "1", "B": "ü 2"}})).status == 204
    (shown,) = (await either.get(SECRETS))["items"]
    assert (shown["name"], shown["keys"], shown["missing"], shown["version"]) == ("keys", ["A", "B"], [], 1)
    answer = await either.call("POST", VALUES, {"names": ["keys"]})
    assert (answer.status, answer.body) == (200, {"secrets": {"keys": {"A": "1", "B": "ü 2"}}})


async def test_other_keys_stay_null_removes_one_and_the_same_value_changes_nothing(registry: Registry) -> None:
    await made(registry)
    await registry.call("PUT", f"{SECRETS}/keys", {"data": {"A": "1"}})
    await registry.call("PUT", f"{SECRETS}/keys", {"data": {"B": "2"}})
    await registry.call("PUT", f"{SECRETS}/keys", {"data": {"B": "2"}})
    assert (await registry.get("/internal/access"))["apps"]["leafscan"]["secrets"] == {"keys": 2}
    await registry.call("PUT", f"{SECRETS}/keys", {"data": {"A": None}})
    assert (await registry.call("POST", VALUES, {"names": ["keys"]})).body["secrets"] == {"keys": {"B": "2"}}


async def test_names_without_a_value_are_409_and_named(registry: Registry) -> None:
    await made(registry)
    await registry.call("PUT", f"{SECRETS}/keys", {"data": {"A": "1"}})
    answer = await registry.call("POST", VALUES, {"names": ["keys", "other"]})
    assert (answer.status, answer.body["missing"]) == (409, ["other"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": {}},
        {"data": {"a b": "sesame"}},
        {"data": {"A": 1}},
        {"data": {"A": "s" * 65537}},
        {"data": {"A": "sesame"}, "x": 1},
    ],
)
async def test_a_body_that_does_not_fit_is_422_and_never_repeated(registry: Registry, body: dict[str, object]) -> None:
    await made(registry)
    answer = await registry.call("PUT", f"{SECRETS}/keys", body)
    assert answer.status == 422
    assert "sesame" not in str(answer.body)
    assert "ssss" not in str(answer.body)
    assert (await registry.get(SECRETS))["items"] == []


async def test_unknown_apps_and_bad_names_are_told(registry: Registry) -> None:
    body = {"data": {"A": "1"}}
    assert (await registry.call("PUT", f"{SECRETS}/keys", body)).status == 404
    assert (await registry.call("GET", SECRETS)).status == 404
    await made(registry)
    assert (await registry.call("PUT", f"{SECRETS}/Not_A_Name", body)).status == 422
    assert (await registry.call("DELETE", f"{SECRETS}/keys")).status == 404
    assert (await registry.call("PUT", f"{SECRETS}/keys", body, {identity.SCOPES: "read"})).status == 403


async def test_a_deleted_secret_has_no_values_any_more(registry: Registry) -> None:
    await made(registry)
    await registry.call("PUT", f"{SECRETS}/keys", {"data": {"A": "1"}})
    assert (await registry.call("DELETE", f"{SECRETS}/keys")).status == 204
    assert (await registry.call("POST", VALUES, {"names": ["keys"]})).status == 409
    assert (await registry.get("/internal/access"))["apps"]["leafscan"]["secrets"] == {}


async def test_the_database_holds_no_value_in_clear(registry: Registry, sqlite_url: str) -> None:
    await made(registry)
    await registry.call("PUT", f"{SECRETS}/users", {"data": {"alice": "open-sesame"}})
    path = Path(sqlite_url.partition("///")[2])
    with sqlite3.connect(path) as database:
        dump = "\n".join(database.iterdump())
    database.close()
    assert "alice" in dump
    assert "open-sesame" not in dump
    assert b"open-sesame".hex() not in dump.lower()


async def test_the_scheduler_gets_verifiers_of_the_passwords_that_apis_ask_for_and_of_no_other(
    either: Registry, work: Work
) -> None:
    work.commit({"manifests/api.yml": PROTECTED_API})
    await either.apply(work)
    await either.call("PUT", f"{SECRETS}/other", {"data": {"bob": "b"}})
    await either.call("PUT", f"{SECRETS}/api-users", {"data": {"alice": "sesame"}})
    await either.settled("starting")
    feed = (await either.get("/internal/access"))["apps"]["leafscan"]
    assert sorted(feed["users"]) == ["api-users"]
    assert sorted(feed["users"]["api-users"]) == ["alice"]
    assert argon2.PasswordHasher().verify(feed["users"]["api-users"]["alice"], "sesame")
    assert feed["secrets"] == {"api-users": 1, "other": 1}


async def test_access_is_fed_by_version(either: Registry) -> None:
    await made(either)
    first = await either.get("/internal/access?since=0")
    assert sorted(first["apps"]) == ["leafscan"]
    nothing = await either.get(f"/internal/access?since={first['version']}")
    assert nothing == {"version": first["version"], "apps": {}}
    await either.call("POST", "/api/v1/apps", {"name": "other"})
    changed = await either.get(f"/internal/access?since={first['version']}")
    assert sorted(changed["apps"]) == ["other"]
    assert changed["version"] > first["version"]
    assert sorted((await either.get("/internal/access?since=999999"))["apps"]) == ["leafscan", "other"]
