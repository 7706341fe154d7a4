"""Secrets: values go in, verifiers and versions come out, and values only to a worker."""

import sqlite3
from pathlib import Path

import argon2
import pytest

from libs.common import identity
from tests.registry.conftest import Registry, until
from tests.registry.working_copy import PROTECTED_API, Work

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
        {"data": {"A": "sesame\ud800"}},
        {"data": {"\ud800": "sesame"}},
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


async def test_what_git_does_not_declare_is_refused_with_what_it_does(either: Registry, work: Work) -> None:
    work.commit({"manifests/api.yml": PROTECTED_API})
    await either.apply(work)
    await until(lambda: either.get(SECRETS), lambda listed: bool(listed["items"]))
    for name, key, status, detail in (
        ("api-user", "alice", 404, 'leafscan declares no secret "api-user"; did you mean "api-users"?'),
        ("x", "a", 404, 'leafscan declares no secret "x"; declare it in the repository, or with: mlmesh apply'),
        ("api-users", "alcie", 422, 'secret "api-users" declares no key "alcie", only alice; did you mean "alice"?'),
        (
            "api-users",
            "bob",
            422,
            'secret "api-users" declares no key "bob", only alice; add it where the secret is declared',
        ),
    ):
        answer = await either.call("PUT", f"{SECRETS}/{name}", {"data": {key: "sesame"}})
        assert (answer.status, answer.body["detail"]) == (status, detail)
    assert (await either.get(SECRETS))["items"][0]["keys"] == []
    assert (await either.call("PUT", f"{SECRETS}/api-users", {"data": {"alice": "sesame"}})).status == 204


async def test_a_key_that_was_set_before_git_was_read_lets_nobody_in_and_can_be_removed(
    either: Registry, work: Work
) -> None:
    await made(either)
    await either.call("PUT", f"{SECRETS}/api-users", {"data": {"alice": "sesame", "alcie": "sesame"}})
    work.commit({"manifests/api.yml": PROTECTED_API})
    await either.apply(work)
    await either.settled("starting")
    assert sorted((await either.get("/internal/access"))["apps"]["leafscan"]["users"]["api-users"]) == ["alice"]
    (shown,) = (await either.get(SECRETS))["items"]
    assert (shown["keys"], shown["undeclared"]) == (["alcie", "alice"], ["alcie"])
    assert (await either.call("DELETE", f"{SECRETS}/api-users/alcie")).status == 204
    (shown,) = (await either.get(SECRETS))["items"]
    assert (shown["keys"], shown["undeclared"], shown["version"]) == (["alice"], [], 2)


async def test_one_key_is_removed_by_who_may_write(registry: Registry) -> None:
    await made(registry)
    await registry.call("PUT", f"{SECRETS}/keys", {"data": {"A": "1", "B": "2"}})
    assert (await registry.call("DELETE", f"{SECRETS}/keys/A", headers={identity.SCOPES: "read"})).status == 403
    assert (await registry.call("DELETE", f"{SECRETS}/keys/A")).status == 204
    assert (await registry.call("POST", VALUES, {"names": ["keys"]})).body["secrets"] == {"keys": {"B": "2"}}
    answer = await registry.call("DELETE", f"{SECRETS}/keys/A")
    assert (answer.status, answer.body["detail"]) == (404, 'secret "keys" has no value for "A"')
    assert (await registry.call("DELETE", f"{SECRETS}/none/A")).status == 404
    assert (await registry.call("DELETE", "/api/v1/apps/nobody/secrets/keys/A")).status == 404
