"""Accounts, sessions, personal tokens, one-time links, and roles in apps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.common import identity
from tests.registry.conftest import Registry

VERIFY = "/internal/tokens/verify"
ADMIN_TOKEN = "the-admin-token"
PASSWORD = "correct horse battery"
NEW_PASSWORD = "staple of the battery"


async def become_administrator(registry: Registry, name: str = "petrova") -> str:
    """The token of the session."""
    body = {"token": ADMIN_TOKEN, "name": name, "password": PASSWORD}
    answer = await registry.call("POST", "/api/v1/setup", body, {})
    assert answer.status == 201, answer.body
    return str(answer.body["token"])


async def add_person(registry: Registry, name: str) -> str:
    invited = await registry.call("POST", "/api/v1/users", {"name": name})
    assert invited.status == 201, invited.body
    body = {"token": invited.body["token"], "password": PASSWORD}
    answer = await registry.call("POST", "/api/v1/setup", body, {})
    assert answer.status == 201, answer.body
    return str(answer.body["token"])


async def verify(registry: Registry, token: str) -> Any:
    """What the gateway learns of a bearer token; None when it is refused."""
    answer = await registry.call("POST", VERIFY, {"token": token})
    assert answer.status in (200, 401)
    return answer.body if answer.status == 200 else None


async def as_person(registry: Registry, token: str) -> dict[str, str]:
    """The headers that the gateway sends for a bearer token."""
    known = await verify(registry, token)
    return {
        identity.HEADER_TOKEN_NAME: known["name"],
        identity.HEADER_SCOPES: " ".join(known["scopes"]),
        identity.HEADER_PERSON: known["person"],
        identity.HEADER_SESSION: known["session"],
    }


async def sign_in(registry: Registry, name: str, password: str = PASSWORD, address: str = "192.0.2.1") -> Any:
    body = {"name": name, "password": password}
    return await registry.call("POST", "/api/v1/sessions", body, {identity.HEADER_ADDRESS: address})


async def give_role(registry: Registry, role: str, name: str, app: str = "leafscan", kind: str = "user") -> None:
    answer = await registry.call("PUT", f"/api/v1/apps/{app}/members/{kind}/{name}", {"role": role})
    assert answer.status == 204, answer.body


async def test_the_first_administrator_comes_in_with_the_admin_token_once(each_registry: Registry) -> None:
    token = await become_administrator(each_registry)
    known = await verify(each_registry, token)
    assert (known["person"], known["scopes"]) == ("petrova", ["admin"])
    assert 0 < known["expires_in"] <= 12 * 3600
    again = {"token": ADMIN_TOKEN, "name": "mallory", "password": PASSWORD}
    assert (await each_registry.call("POST", "/api/v1/setup", again, {})).status == 410
    (user,) = (await each_registry.get("/api/v1/users"))["items"]
    assert (user["name"], user["administrator"], user["has_password"], user["created_by"]) == (
        "petrova", True, True, "setup",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"token": ADMIN_TOKEN, "name": "petrova", "password": "short"}, 422),
        ({"token": ADMIN_TOKEN, "password": PASSWORD}, 422),
        ({"token": ADMIN_TOKEN, "name": "a/b", "password": PASSWORD}, 422),
        ({"token": "guessed", "name": "petrova", "password": PASSWORD}, 410),
        ({"token": "", "name": "petrova", "password": PASSWORD}, 410),
    ],
)
async def test_nobody_else_becomes_an_administrator(registry: Registry, body: dict[str, str], status: int) -> None:
    assert (await registry.call("POST", "/api/v1/setup", body, {})).status == status
    assert (await registry.get("/api/v1/users"))["items"] == []


async def test_two_at_once_cannot_both_become_the_first_administrator(each_registry: Registry) -> None:
    bodies = [{"token": ADMIN_TOKEN, "name": name, "password": PASSWORD} for name in ("one", "two")]
    answers = await asyncio.gather(*(each_registry.call("POST", "/api/v1/setup", body, {}) for body in bodies))
    assert sorted(answer.status for answer in answers) == [201, 410]


async def test_an_invitation_works_once_and_sets_the_password(each_registry: Registry) -> None:
    invited = await each_registry.call("POST", "/api/v1/users", {"name": "ivanov"})
    assert (await each_registry.call("POST", "/api/v1/users", {"name": "ivanov"})).status == 409
    assert (await sign_in(each_registry, "ivanov")).status == 401
    body = {"token": invited.body["token"], "password": PASSWORD}
    answers = await asyncio.gather(*(each_registry.call("POST", "/api/v1/setup", body, {}) for _ in range(3)))
    assert sorted(answer.status for answer in answers) == [201, 410, 410]
    assert (await sign_in(each_registry, "ivanov")).status == 201
    renewed = await each_registry.call("POST", "/api/v1/users/ivanov/invitation")
    body = {"token": renewed.body["token"], "password": NEW_PASSWORD}
    assert (await each_registry.call("POST", "/api/v1/setup", body, {})).status == 201
    assert (await sign_in(each_registry, "ivanov")).status == 401
    assert (await sign_in(each_registry, "ivanov", NEW_PASSWORD)).status == 201


async def test_a_session_lists_itself_and_ends(each_registry: Registry) -> None:
    first = await add_person(each_registry, "ivanov")
    second = (await sign_in(each_registry, "ivanov")).body["token"]
    headers = await as_person(each_registry, second)
    listed = (await each_registry.call("GET", "/api/v1/sessions", None, headers)).body["items"]
    assert [session["current"] for session in listed] == [False, True]
    assert (await each_registry.call("DELETE", "/api/v1/sessions/current", None, headers)).status == 204
    assert await verify(each_registry, second) is None
    headers = await as_person(each_registry, first)
    assert (await each_registry.call("DELETE", f"/api/v1/sessions/{listed[1]['id']}", None, headers)).status == 404
    assert (await each_registry.call("DELETE", f"/api/v1/sessions/{listed[0]['id']}", None, headers)).status == 204
    assert await verify(each_registry, first) is None


async def test_nobody_ends_the_session_of_another(registry: Registry) -> None:
    ivanov, mallory = await add_person(registry, "ivanov"), await add_person(registry, "mallory")
    session = (await as_person(registry, ivanov))[identity.HEADER_SESSION]
    headers = await as_person(registry, mallory)
    assert (await registry.call("DELETE", f"/api/v1/sessions/{session}", None, headers)).status == 404
    assert await verify(registry, ivanov) is not None


async def test_wrong_passwords_are_answered_alike_and_stop_being_checked(registry: Registry) -> None:
    await add_person(registry, "ivanov")
    refusals = [await sign_in(registry, "ivanov", "wrong password"), await sign_in(registry, "nobody")]
    assert {answer.status for answer in refusals} == {401}
    assert refusals[0].body["detail"] == refusals[1].body["detail"] == "wrong name or password"
    for _ in range(4):
        assert (await sign_in(registry, "ivanov", "wrong password")).status == 401
    refused = await sign_in(registry, "ivanov")
    assert refused.status == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 300
    assert (await sign_in(registry, "ivanov", address="192.0.2.2")).status == 201
    for _ in range(4):
        await sign_in(registry, "nobody")
    assert (await sign_in(registry, "nobody")).status == 429


async def test_a_disabled_account_is_refused_everywhere_and_comes_back(each_registry: Registry) -> None:
    await become_administrator(each_registry)
    token = await add_person(each_registry, "ivanov")
    headers = await as_person(each_registry, token)
    made = await each_registry.call("POST", "/api/v1/me/tokens", {"name": "laptop"}, headers)
    link = await each_registry.call("POST", "/api/v1/sessions/links", {"user": "ivanov"})
    changed = await each_registry.call("PATCH", "/api/v1/users/ivanov", {"disabled": True})
    assert changed.body["disabled_at"] is not None
    assert await verify(each_registry, token) is None
    assert await verify(each_registry, made.body["token"]) is None
    assert (await sign_in(each_registry, "ivanov")).status == 401
    entered = await each_registry.call("POST", "/api/v1/sessions", {"link": link.body["token"]}, {})
    assert entered.status == 410
    await each_registry.call("PATCH", "/api/v1/users/ivanov", {"disabled": False})
    assert await verify(each_registry, token) is None  # sessions ended
    assert (await verify(each_registry, made.body["token"]))["person"] == "ivanov"
    assert (await sign_in(each_registry, "ivanov")).status == 201


async def test_the_last_administrator_stays(each_registry: Registry) -> None:
    await become_administrator(each_registry)
    for change in ({"administrator": False}, {"disabled": True}):
        assert (await each_registry.call("PATCH", "/api/v1/users/petrova", change)).status == 409
    assert (await each_registry.call("DELETE", "/api/v1/users/petrova")).status == 409
    await add_person(each_registry, "ivanov")
    assert (await each_registry.call("PATCH", "/api/v1/users/ivanov", {"administrator": True})).status == 200
    assert (await each_registry.call("DELETE", "/api/v1/users/petrova")).status == 204
    assert [user["name"] for user in (await each_registry.get("/api/v1/users"))["items"]] == ["ivanov"]


SCOPES = {
    "viewer": ["read:leafscan"], "caller": ["call:leafscan"], "developer": ["develop:leafscan"],
    "owner": ["write:leafscan"],
}  # fmt: skip


@pytest.mark.parametrize("role", SCOPES)
async def test_a_role_is_read_when_it_is_used(each_registry: Registry, role: str) -> None:
    await each_registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    token = await add_person(each_registry, "ivanov")
    assert (await verify(each_registry, token))["scopes"] == []
    await give_role(each_registry, role, "ivanov")
    assert (await verify(each_registry, token))["scopes"] == SCOPES[role]
    (member,) = (await each_registry.get("/api/v1/apps/leafscan/members"))["items"]
    assert (member["kind"], member["name"], member["role"], member["added_by"]) == (
        "user", "ivanov", role, "token tests",
    )  # fmt: skip
    assert (await each_registry.call("DELETE", "/api/v1/apps/leafscan/members/user/ivanov")).status == 204
    assert (await verify(each_registry, token))["scopes"] == []
    assert (await each_registry.call("DELETE", "/api/v1/apps/leafscan/members/user/ivanov")).status == 404


async def test_roles_go_with_the_account_and_with_the_app(each_registry: Registry) -> None:
    await each_registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    await add_person(each_registry, "ivanov")
    await give_role(each_registry, "owner", "ivanov")
    await each_registry.call("DELETE", "/api/v1/users/ivanov")
    assert (await each_registry.get("/api/v1/apps/leafscan/members"))["items"] == []
    token = await add_person(each_registry, "ivanov")
    assert (await verify(each_registry, token))["scopes"] == []


async def test_a_role_is_for_who_has_an_account(registry: Registry) -> None:
    await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    path = "/api/v1/apps/leafscan/members/user/nobody"
    answer = await registry.call("PUT", path, {"role": "viewer"})
    assert (answer.status, "mlmesh user invite nobody" in answer.body["detail"]) == (404, True)
    assert (await registry.call("PUT", path, {"role": "king"})).status == 422
    await give_role(registry, "viewer", "teachers", kind="group")
    assert (await registry.call("PUT", path.replace("leafscan", "other"), {"role": "viewer"})).status == 404


async def test_a_personal_token_may_no_more_than_its_limits_and_its_person(each_registry: Registry) -> None:
    await each_registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    headers = await as_person(each_registry, await add_person(each_registry, "ivanov"))
    await give_role(each_registry, "developer", "ivanov")
    token = (await sign_in(each_registry, "ivanov")).body["token"]
    headers = await as_person(each_registry, token)
    limited = await each_registry.call(
        "POST", "/api/v1/me/tokens", {"name": "notebook", "scopes": ["call:leafscan"], "expires_in": "1h"}, headers
    )
    assert limited.status == 201, limited.body
    full = await each_registry.call("POST", "/api/v1/me/tokens", {"name": "laptop"}, headers)
    assert (await verify(each_registry, limited.body["token"]))["scopes"] == ["call:leafscan"]
    assert (await verify(each_registry, full.body["token"]))["scopes"] == ["develop:leafscan"]
    refused = await each_registry.call("POST", "/api/v1/me/tokens", {"name": "x", "scopes": ["admin:x"]}, headers)
    assert refused.status == 422
    refused = await each_registry.call("POST", "/api/v1/me/tokens", {"name": "x", "scopes": ["read:other"]}, headers)
    assert refused.status == 403
    by_token = await as_person(each_registry, full.body["token"])
    assert (await each_registry.call("POST", "/api/v1/me/tokens", {"name": "more"}, by_token)).status == 403
    assert (await each_registry.call("POST", "/api/v1/sessions/links", None, by_token)).status == 403
    await give_role(each_registry, "viewer", "ivanov")
    assert (await verify(each_registry, limited.body["token"]))["scopes"] == []
    assert (await verify(each_registry, full.body["token"]))["scopes"] == ["read:leafscan"]
    listed = (await each_registry.call("GET", "/api/v1/me/tokens", None, headers)).body["items"]
    assert [(item["name"], item["scopes"]) for item in listed] == [("notebook", ["call:leafscan"]), ("laptop", None)]
    assert (await each_registry.call("DELETE", "/api/v1/me/tokens/laptop", None, headers)).status == 204
    assert await verify(each_registry, full.body["token"]) is None
    assert (await each_registry.call("DELETE", "/api/v1/me/tokens/laptop", None, headers)).status == 404


async def test_a_changed_password_ends_the_other_sessions(registry: Registry) -> None:
    other = await add_person(registry, "ivanov")
    token = (await sign_in(registry, "ivanov")).body["token"]
    headers = await as_person(registry, token)
    change = {"password": NEW_PASSWORD}
    assert (await registry.call("PATCH", "/api/v1/me", change, headers)).status == 422
    wrong = change | {"current_password": "wrong password"}
    assert (await registry.call("PATCH", "/api/v1/me", wrong, headers)).status == 401
    right = change | {"current_password": PASSWORD, "language": "ru", "theme": "dark"}
    assert (await registry.call("PATCH", "/api/v1/me", right, headers)).status == 204
    assert await verify(registry, other) is None
    me = (await registry.call("GET", "/api/v1/me", None, await as_person(registry, token))).body
    assert (me["name"], me["language"], me["theme"], me["administrator"]) == ("ivanov", "ru", "dark", False)
    assert (await sign_in(registry, "ivanov", NEW_PASSWORD)).status == 201


async def test_a_link_signs_in_once(each_registry: Registry) -> None:
    nobody = await each_registry.call("POST", "/api/v1/sessions/links")
    assert nobody.status == 409
    await become_administrator(each_registry)
    link = await each_registry.call("POST", "/api/v1/sessions/links")
    assert (link.status, link.body["user"]) == (201, "petrova")
    body = {"link": link.body["token"]}
    answers = await asyncio.gather(*(each_registry.call("POST", "/api/v1/sessions", body, {}) for _ in range(3)))
    assert sorted(answer.status for answer in answers) == [201, 410, 410]
    headers = await as_person(each_registry, await add_person(each_registry, "ivanov"))
    assert (await each_registry.call("POST", "/api/v1/sessions/links", None, headers)).body["user"] == "ivanov"
    other = await each_registry.call("POST", "/api/v1/sessions/links", {"user": "petrova"}, headers)
    assert other.status == 403


async def test_an_operators_token_says_what_it_is(registry: Registry) -> None:
    me = await registry.get("/api/v1/me")
    assert (me["name"], me["token"], me["scopes"], me["roles"]) == ("", "tests", ["admin"], [])
    for method, path in (("GET", "/api/v1/sessions"), ("GET", "/api/v1/me/tokens"), ("DELETE", "/api/v1/sessions/x")):
        assert (await registry.call(method, path)).status == 403


async def test_who_develops_an_app_may_create_others_and_owns_them(each_registry: Registry) -> None:
    await each_registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    token = await add_person(each_registry, "ivanov")
    await give_role(each_registry, "caller", "ivanov")
    refused = await each_registry.call("POST", "/api/v1/apps", {"name": "mine"}, await as_person(each_registry, token))
    assert (refused.status, "ask an administrator for that role" in refused.body["detail"]) == (403, True)
    await give_role(each_registry, "developer", "ivanov")
    created = await each_registry.call("POST", "/api/v1/apps", {"name": "mine"}, await as_person(each_registry, token))
    assert (created.status, created.body["name"]) == (201, "mine")
    assert (await verify(each_registry, token))["scopes"] == ["develop:leafscan", "write:mine"]
