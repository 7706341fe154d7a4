"""People who would like to be somebody else, or too many at once."""

from __future__ import annotations

import asyncio

import pytest

from libs.common import identity
from libs.common.passwords import HASHER
from services.registry.accounts import passwords
from services.registry.accounts.passwords import PasswordChecks, SignInThrottle
from services.registry.db import Connection, users
from tests.registry.conftest import Registry
from tests.registry.scenarios.test_people import (
    ADMIN_TOKEN,
    PASSWORD,
    add_person,
    as_person,
    become_administrator,
    give_role,
    sign_in,
    verify,
)
from tests.registry.working_copy import WorkingCopy


@pytest.mark.parametrize("name", ["developer", "anonymous", "Developer", "ANONYMOUS", ".", "..", "deve\u200bloper"])
async def test_nobody_is_named_like_a_user_of_every_app(registry: Registry, name: str) -> None:
    assert (await registry.call("POST", "/api/v1/users", {"name": name})).status == 422
    setup = {"token": ADMIN_TOKEN, "name": name, "password": PASSWORD}
    assert (await registry.call("POST", "/api/v1/setup", setup, {})).status == 422


async def test_two_names_differ_in_more_than_case(each_registry: Registry) -> None:
    await add_person(each_registry, "petrova")
    assert (await each_registry.call("POST", "/api/v1/users", {"name": "Petrova"})).status == 409


@pytest.mark.parametrize("change", [{"disabled": True}, {"administrator": False}, None])
async def test_two_at_once_do_not_remove_the_last_two_administrators(
    each_registry: Registry, change: dict[str, bool] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await become_administrator(each_registry)
    await add_person(each_registry, "ivanov")
    await each_registry.call("PATCH", "/api/v1/users/ivanov", {"administrator": True})
    count = users.count_administrators

    async def count_and_wait(conn: Connection) -> int:
        counted = await count(conn)
        await asyncio.sleep(0.3)
        return counted

    monkeypatch.setattr(users, "count_administrators", count_and_wait)
    method = "DELETE" if change is None else "PATCH"
    answers = await asyncio.gather(
        *(each_registry.call(method, f"/api/v1/users/{name}", change) for name in ("petrova", "ivanov"))
    )
    assert sorted(answer.status for answer in answers)[-1] == 409
    left = (await each_registry.get("/api/v1/users"))["items"]
    assert len([user for user in left if user["administrator"] and user["disabled_at"] is None]) == 1


async def test_an_administrator_who_is_only_invited_is_not_the_one_that_stays(registry: Registry) -> None:
    await become_administrator(registry)
    await registry.call("POST", "/api/v1/users", {"name": "ivanov", "administrator": True})
    assert (await registry.call("DELETE", "/api/v1/users/petrova")).status == 409


async def test_an_invitation_and_a_deletion_at_once_both_get_an_answer(each_registry: Registry) -> None:
    for number in range(5):
        name = f"ivanov{number}"
        invited = await each_registry.call("POST", "/api/v1/users", {"name": name})
        body = {"token": invited.body["token"], "password": PASSWORD}
        accepted, deleted = await asyncio.gather(
            each_registry.call("POST", "/api/v1/setup", body, {}),
            each_registry.call("DELETE", f"/api/v1/users/{name}"),
        )
        assert (accepted.status in (201, 410), deleted.status) == (True, 204)
        if accepted.status == 201:
            assert await verify(each_registry, accepted.body["token"]) is None


async def test_the_invitation_of_a_disabled_account_opens_no_session(registry: Registry) -> None:
    invited = await registry.call("POST", "/api/v1/users", {"name": "ivanov"})
    await registry.call("PATCH", "/api/v1/users/ivanov", {"disabled": True})
    body = {"token": invited.body["token"], "password": PASSWORD}
    assert (await registry.call("POST", "/api/v1/setup", body, {})).status == 410
    await registry.call("PATCH", "/api/v1/users/ivanov", {"disabled": False})
    assert (await registry.call("POST", "/api/v1/setup", body, {})).status == 201


async def test_who_gets_the_name_of_a_deleted_account_gets_nothing_of_it(each_registry: Registry) -> None:
    await each_registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    session = await add_person(each_registry, "ivanov")
    await give_role(each_registry, "owner", "ivanov")
    headers = await as_person(each_registry, session)
    token = (await each_registry.call("POST", "/api/v1/me/tokens", {"name": "laptop"}, headers)).body["token"]
    link = (await each_registry.call("POST", "/api/v1/sessions/links", {"user": "ivanov"})).body["token"]
    invitation = (await each_registry.call("POST", "/api/v1/users/ivanov/invitation")).body["token"]
    await each_registry.call("DELETE", "/api/v1/users/ivanov")
    new = await add_person(each_registry, "ivanov")
    assert await verify(each_registry, session) is None
    assert await verify(each_registry, token) is None
    assert (await each_registry.call("POST", "/api/v1/sessions", {"link": link}, {})).status == 410
    setup = {"token": invitation, "password": PASSWORD}
    assert (await each_registry.call("POST", "/api/v1/setup", setup, {})).status == 410
    assert (await verify(each_registry, new))["scopes"] == []


async def test_a_token_for_one_app_creates_no_other(registry: Registry) -> None:
    await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    session = await add_person(registry, "ivanov")
    await give_role(registry, "owner", "ivanov")
    headers = await as_person(registry, session)
    statuses = {}
    for name, scopes in (("one", ["write:leafscan"]), ("reads", ["read"]), ("all", ["write"]), ("full", None)):
        made = await registry.call("POST", "/api/v1/me/tokens", {"name": name, "scopes": scopes}, headers)
        caller = await as_person(registry, made.body["token"])
        statuses[name] = (await registry.call("POST", "/api/v1/apps", {"name": f"mine-{name}"}, caller)).status
    assert statuses == {"one": 403, "reads": 403, "all": 201, "full": 201}


async def test_a_refused_password_can_be_stored(registry: Registry) -> None:
    body = {"token": ADMIN_TOKEN, "name": "petrova", "password": "with\0zero-character"}
    assert (await registry.call("POST", "/api/v1/setup", body, {})).status == 422


async def test_addresses_of_one_network_count_together(registry: Registry) -> None:
    await add_person(registry, "ivanov")
    for number in range(5):
        answer = await sign_in(registry, "ivanov", "wrong password", address=f"2001:db8::{number}")
        assert answer.status == 401
    assert (await sign_in(registry, "ivanov", address="2001:db8::ffff")).status == 429
    assert (await sign_in(registry, "ivanov", address="2001:db8:0:1::1")).status == 201


async def test_one_network_cannot_try_many_names_fast() -> None:
    now = 0.0
    throttle = SignInThrottle(lambda: now)
    for number in range(passwords.NETWORK_FAILURES):
        throttle.count_attempt(f"name{number}", "192.0.2.1")
    with pytest.raises(Exception, match="too many wrong passwords"):
        throttle.count_attempt("another", "192.0.2.1")
    throttle.count_attempt("another", "192.0.2.2")
    now = passwords.NETWORK_WINDOW_S + 1
    throttle.count_attempt("another", "192.0.2.1")
    for _ in range(3 * passwords.NETWORK_FAILURES):  # right passwords do not count
        throttle.count_attempt("right", "192.0.2.3")
        throttle.forget("right", "192.0.2.3")


async def test_only_so_many_passwords_wait_for_their_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 4)
    checks = PasswordChecks()
    results = await asyncio.gather(*(checks.is_right(None, "x") for _ in range(20)), return_exceptions=True)
    assert [str(result) for result in results].count("False") == 4
    assert {type(result).__name__ for result in results[4:]} == {"TooManyRequests"}
    assert await checks.is_right(HASHER.hash(PASSWORD), PASSWORD)


async def test_a_flood_of_sign_ins_is_refused_at_once_and_others_are_let_in(registry: Registry) -> None:
    await add_person(registry, "ivanov")
    answers = await asyncio.gather(*(sign_in(registry, f"name{number}", "wrong password") for number in range(150)))
    statuses = [answer.status for answer in answers]
    assert set(statuses) == {401, 429}
    assert statuses.count(401) <= passwords.NETWORK_FAILURES
    headers = {identity.HEADER_ADDRESS: "192.0.2.9"}
    body = {"name": "ivanov", "password": PASSWORD}
    assert (await registry.call("POST", "/api/v1/sessions", body, headers)).status == 201


async def test_a_developer_does_not_become_an_owner_by_deploying(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    await each_registry.apply(working_copy)
    await each_registry.make_live()
    tokens = {name: await add_person(each_registry, name) for name in ("mallory", "petrova")}
    await give_role(each_registry, "developer", "mallory")
    await give_role(each_registry, "owner", "petrova")
    platform = (
        "apiVersion: mlmesh/v1\nkind: PlatformApp\nmetadata: {name: leafscan}\nspec: {title: T, owners: [mallory]}\n"
    )
    working_copy.commit({"manifests/app.yaml": platform})
    for name, scope in (("mallory", "develop:leafscan"), ("petrova", "write:leafscan")):
        headers = await as_person(each_registry, tokens[name])
        assert (await each_registry.call("POST", "/api/v1/apps/leafscan/sync", None, headers)).status == 202
        await each_registry.make_live()
        assert (await each_registry.get("/api/v1/apps/leafscan"))["title"] == "T"
        scopes = (await verify(each_registry, tokens["mallory"]))["scopes"]
        assert ("write:leafscan" in scopes) == (scope == "write:leafscan")
        working_copy.commit({"note": name})
