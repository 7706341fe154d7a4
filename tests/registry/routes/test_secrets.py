"""Secrets: write-only values, verifiers and versions in the access feed, values for a worker."""

import sqlite3
from pathlib import Path

import argon2
import pytest

from libs.common import identity
from tests.registry.conftest import Registry, poll_until
from tests.registry.working_copy import PROTECTED_API, WorkingCopy

SECRETS = "/api/v1/apps/leafscan/secrets"
VALUES = "/internal/apps/leafscan/secrets/values"


async def create_app(registry: Registry) -> None:
    await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})


async def test_values_are_kept_listed_by_key_and_given_to_the_worker(each_registry: Registry) -> None:
    await create_app(each_registry)
    assert (await each_registry.call("PUT", f"{SECRETS}/keys", {"data": {"A": "1", "B": "ü 2"}})).status == 204
    (secret,) = (await each_registry.get(SECRETS))["items"]
    assert (secret["name"], secret["keys"], secret["missing"], secret["version"]) == ("keys", ["A", "B"], [], 1)
    answer = await each_registry.call("POST", VALUES, {"names": ["keys"]})
    assert (answer.status, answer.body) == (200, {"secrets": {"keys": {"A": "1", "B": "ü 2"}}})


async def test_other_keys_stay_null_removes_one_and_the_same_value_changes_nothing(registry: Registry) -> None:
    await create_app(registry)
    await registry.call("PUT", f"{SECRETS}/keys", {"data": {"A": "1"}})
    await registry.call("PUT", f"{SECRETS}/keys", {"data": {"B": "2"}})
    await registry.call("PUT", f"{SECRETS}/keys", {"data": {"B": "2"}})
    assert (await registry.get("/internal/access"))["apps"]["leafscan"]["secrets"] == {"keys": 2}
    await registry.call("PUT", f"{SECRETS}/keys", {"data": {"A": None}})
    assert (await registry.call("POST", VALUES, {"names": ["keys"]})).body["secrets"] == {"keys": {"B": "2"}}


async def test_more_values_than_a_worker_can_hide_are_409(registry: Registry) -> None:
    await create_app(registry)
    values = {f"K{number}": "x" * 60_000 for number in range(9)}
    for name in ("big", "bigger"):
        await registry.call("PUT", f"{SECRETS}/{name}", {"data": values})
    assert (await registry.call("POST", VALUES, {"names": ["big"]})).status == 200
    answer = await registry.call("POST", VALUES, {"names": ["big", "bigger"]})
    sentence = (
        "the values of big, bigger have over 1,000,000 characters; name fewer of them, or keep large ones in a DataBox"
    )
    assert (answer.status, answer.body["detail"]) == (409, sentence)


async def test_names_without_a_value_are_409_and_named(registry: Registry) -> None:
    await create_app(registry)
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
    await create_app(registry)
    answer = await registry.call("PUT", f"{SECRETS}/keys", body)
    assert answer.status == 422
    assert "sesame" not in str(answer.body)
    assert "ssss" not in str(answer.body)
    assert (await registry.get(SECRETS))["items"] == []


async def test_unknown_apps_and_bad_names_are_told(registry: Registry) -> None:
    body = {"data": {"A": "1"}}
    assert (await registry.call("PUT", f"{SECRETS}/keys", body)).status == 404
    assert (await registry.call("GET", SECRETS)).status == 404
    await create_app(registry)
    assert (await registry.call("PUT", f"{SECRETS}/Not_A_Name", body)).status == 422
    assert (await registry.call("DELETE", f"{SECRETS}/keys")).status == 404
    assert (await registry.call("PUT", f"{SECRETS}/keys", body, {identity.HEADER_SCOPES: "read"})).status == 403


async def test_a_deleted_secret_has_no_values_any_more(registry: Registry) -> None:
    await create_app(registry)
    await registry.call("PUT", f"{SECRETS}/keys", {"data": {"A": "1"}})
    assert (await registry.call("DELETE", f"{SECRETS}/keys")).status == 204
    assert (await registry.call("POST", VALUES, {"names": ["keys"]})).status == 409
    assert (await registry.get("/internal/access"))["apps"]["leafscan"]["secrets"] == {}


async def test_what_the_live_deployment_uses_stays_declared_and_its_versions_never_repeat(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    """An instance with the values of before the deletion would pass for one with those of after it."""
    working_copy.commit({"manifests/api.yml": PROTECTED_API})
    await each_registry.apply(working_copy)
    await each_registry.call("PUT", f"{SECRETS}/api-users", {"data": {"alice": "sesame"}})
    await each_registry.make_live()
    assert (await each_registry.call("DELETE", f"{SECRETS}/api-users")).status == 204
    (secret,) = (await each_registry.get(SECRETS))["items"]
    assert (secret["keys"], secret["missing"], secret["version"]) == ([], ["alice"], 2)
    assert (await each_registry.call("PUT", f"{SECRETS}/api-users", {"data": {"alice": "other"}})).status == 204
    assert (await each_registry.get("/internal/access"))["apps"]["leafscan"]["secrets"] == {"api-users": 3}


async def test_the_database_holds_no_value_in_clear(registry: Registry, sqlite_url: str) -> None:
    await create_app(registry)
    await registry.call("PUT", f"{SECRETS}/users", {"data": {"alice": "open-sesame"}})
    path = Path(sqlite_url.partition("///")[2])
    with sqlite3.connect(path) as database:
        dump = "\n".join(database.iterdump())
    database.close()
    assert "alice" in dump
    assert "open-sesame" not in dump
    assert b"open-sesame".hex() not in dump.lower()


async def test_the_scheduler_gets_verifiers_of_the_passwords_that_apis_ask_for_and_of_no_other(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    working_copy.commit({"manifests/api.yml": PROTECTED_API})
    await each_registry.apply(working_copy)
    await each_registry.call("PUT", f"{SECRETS}/other", {"data": {"bob": "b"}})
    await each_registry.call("PUT", f"{SECRETS}/api-users", {"data": {"alice": "sesame"}})
    await each_registry.wait_for_status("starting")
    feed = (await each_registry.get("/internal/access"))["apps"]["leafscan"]
    assert sorted(feed["users"]) == ["api-users"]
    assert sorted(feed["users"]["api-users"]) == ["alice"]
    assert argon2.PasswordHasher().verify(feed["users"]["api-users"]["alice"], "sesame")
    assert feed["secrets"] == {"api-users": 1, "other": 1}


async def test_access_is_fed_by_version(each_registry: Registry) -> None:
    await create_app(each_registry)
    first = await each_registry.get("/internal/access?since=0")
    assert sorted(first["apps"]) == ["leafscan"]
    nothing = await each_registry.get(f"/internal/access?since={first['version']}")
    assert nothing == {"version": first["version"], "apps": {}}
    await each_registry.call("POST", "/api/v1/apps", {"name": "other"})
    changed = await each_registry.get(f"/internal/access?since={first['version']}")
    assert sorted(changed["apps"]) == ["other"]
    assert changed["version"] > first["version"]
    assert sorted((await each_registry.get("/internal/access?since=999999"))["apps"]) == ["leafscan", "other"]


async def test_what_git_does_not_declare_is_refused_with_what_it_does(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    working_copy.commit({"manifests/api.yml": PROTECTED_API})
    await each_registry.apply(working_copy)
    await poll_until(lambda: each_registry.get(SECRETS), lambda listed: bool(listed["items"]))
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
        answer = await each_registry.call("PUT", f"{SECRETS}/{name}", {"data": {key: "sesame"}})
        assert (answer.status, answer.body["detail"]) == (status, detail)
    assert (await each_registry.get(SECRETS))["items"][0]["keys"] == []
    assert (await each_registry.call("PUT", f"{SECRETS}/api-users", {"data": {"alice": "sesame"}})).status == 204


async def test_a_key_that_was_set_before_git_was_read_lets_nobody_in_and_can_be_removed(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    await create_app(each_registry)
    await each_registry.call("PUT", f"{SECRETS}/api-users", {"data": {"alice": "sesame", "alcie": "sesame"}})
    working_copy.commit({"manifests/api.yml": PROTECTED_API})
    await each_registry.apply(working_copy)
    await each_registry.wait_for_status("starting")
    assert sorted((await each_registry.get("/internal/access"))["apps"]["leafscan"]["users"]["api-users"]) == ["alice"]
    (secret,) = (await each_registry.get(SECRETS))["items"]
    assert (secret["keys"], secret["undeclared"]) == (["alcie", "alice"], ["alcie"])
    assert (await each_registry.call("DELETE", f"{SECRETS}/api-users/alcie")).status == 204
    (secret,) = (await each_registry.get(SECRETS))["items"]
    assert (secret["keys"], secret["undeclared"], secret["version"]) == (["alice"], [], 2)


async def test_one_key_is_removed_by_who_may_write(registry: Registry) -> None:
    await create_app(registry)
    await registry.call("PUT", f"{SECRETS}/keys", {"data": {"A": "1", "B": "2"}})
    assert (await registry.call("DELETE", f"{SECRETS}/keys/A", headers={identity.HEADER_SCOPES: "read"})).status == 403
    assert (await registry.call("DELETE", f"{SECRETS}/keys/A")).status == 204
    assert (await registry.call("POST", VALUES, {"names": ["keys"]})).body["secrets"] == {"keys": {"B": "2"}}
    answer = await registry.call("DELETE", f"{SECRETS}/keys/A")
    assert (answer.status, answer.body["detail"]) == (404, 'secret "keys" has no value for "A"')
    assert (await registry.call("DELETE", f"{SECRETS}/none/A")).status == 404
    assert (await registry.call("DELETE", "/api/v1/apps/nobody/secrets/keys/A")).status == 404
