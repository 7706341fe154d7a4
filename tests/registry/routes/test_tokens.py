"""Tokens of operators and API keys of callers."""

import hashlib

import pytest

from libs.common import identity
from tests.registry.conftest import Registry, poll_until

VERIFY = "/internal/tokens/verify"


async def test_a_token_is_shown_once_verified_and_revoked(each_registry: Registry) -> None:
    created = await each_registry.call("POST", "/api/v1/tokens", {"name": "ci", "scopes": ["write:leafscan", "read"]})
    assert created.status == 201, created.body
    assert created.body["token"].startswith("mlmesh_")
    verified = await each_registry.call("POST", VERIFY, {"token": created.body["token"]})
    assert (verified.status, verified.body) == (
        200,
        {"name": "ci", "scopes": ["read", "write:leafscan"], "expires_in": None},
    )
    (listed,) = (await each_registry.get("/api/v1/tokens"))["items"]
    assert listed == {key: value for key, value in created.body.items() if key != "token"}
    assert (await each_registry.call("POST", "/api/v1/tokens", {"name": "ci", "scopes": ["read"]})).status == 409
    assert (await each_registry.call("DELETE", "/api/v1/tokens/ci")).status == 204
    assert (await each_registry.call("DELETE", "/api/v1/tokens/ci")).status == 404
    assert (await each_registry.call("POST", VERIFY, {"token": created.body["token"]})).status == 401


async def test_the_token_of_the_settings_may_do_everything(registry: Registry) -> None:
    answer = await registry.call("POST", VERIFY, {"token": "the-admin-token"})
    assert (answer.status, answer.body) == (200, {"name": "admin", "scopes": ["admin"], "expires_in": None})
    for wrong in ("", "the-admin-toke", "the-admin-token "):
        assert (await registry.call("POST", VERIFY, {"token": wrong})).status == 401


async def test_a_token_ends_at_its_time(registry: Registry) -> None:
    created = await registry.call("POST", "/api/v1/tokens", {"name": "short", "scopes": ["read"], "expires_in": "1s"})

    caller = (await registry.call("POST", VERIFY, {"token": created.body["token"]})).body
    assert 0 < caller["expires_in"] <= 1.0

    async def verify_token() -> int:
        return (await registry.call("POST", VERIFY, {"token": created.body["token"]})).status

    await poll_until(verify_token, lambda status: status == 401)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "scopes": []}, {"name": "x", "scopes": ["root"]}, {"name": "", "scopes": ["read"]},
        {"name": "x/y", "scopes": ["read"]}, {"name": "x", "scopes": ["read"], "expires_in": 0},
        {"name": "x", "scopes": ["read"], "expires_in": "soon"}, {"name": "x", "scopes": ["read"], "other": 1},
    ],
)  # fmt: skip
async def test_a_token_that_makes_no_sense_is_422(registry: Registry, body: dict[str, object]) -> None:
    assert (await registry.call("POST", "/api/v1/tokens", body)).status == 422


async def test_only_an_administrator_handles_tokens(registry: Registry) -> None:
    for scopes in ("", "write", "write:leafscan"):
        headers = {identity.HEADER_SCOPES: scopes}
        assert (await registry.call("GET", "/api/v1/tokens", headers=headers)).status == 403
        assert (
            await registry.call("POST", "/api/v1/tokens", {"name": "x", "scopes": ["admin"]}, headers)
        ).status == 403
        assert (await registry.call("DELETE", "/api/v1/tokens/x", headers=headers)).status == 403


async def test_an_api_key_is_shown_once_and_given_to_the_scheduler_as_its_hash(each_registry: Registry) -> None:
    await each_registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    created = await each_registry.call("POST", "/api/v1/apps/leafscan/keys", {"user": "alice"})
    assert created.status == 201, created.body
    hashed = hashlib.sha256(created.body["key"].encode()).hexdigest()
    assert (await each_registry.get("/internal/access"))["apps"]["leafscan"]["keys"] == {hashed: "alice"}
    (listed,) = (await each_registry.get("/api/v1/apps/leafscan/keys"))["items"]
    assert listed == {key: value for key, value in created.body.items() if key != "key"}
    assert (await each_registry.call("DELETE", f"/api/v1/apps/leafscan/keys/{listed['id']}")).status == 204
    assert (await each_registry.call("DELETE", f"/api/v1/apps/leafscan/keys/{listed['id']}")).status == 404
    assert (await each_registry.get("/internal/access"))["apps"]["leafscan"]["keys"] == {}


@pytest.mark.parametrize("user", ["", "a b", "a" * 65, "ü"])
async def test_a_key_for_a_name_that_is_none_is_422(registry: Registry, user: str) -> None:
    await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    assert (await registry.call("POST", "/api/v1/apps/leafscan/keys", {"user": user})).status == 422


async def test_keys_belong_to_an_app_and_its_owners(registry: Registry) -> None:
    assert (await registry.call("POST", "/api/v1/apps/nobody/keys", {"user": "alice"})).status == 404
    answer = await registry.call(
        "POST", "/api/v1/apps/nobody/keys", {"user": "a"}, {identity.HEADER_SCOPES: "write:other"}
    )
    assert answer.status == 403
