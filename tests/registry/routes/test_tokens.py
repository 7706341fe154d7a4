"""Tokens of operators and API keys of callers."""

import hashlib

import pytest

from libs.common import identity
from tests.registry.conftest import Registry, until

VERIFY = "/internal/tokens/verify"


async def test_a_token_is_shown_once_verified_and_revoked(either: Registry) -> None:
    made = await either.call("POST", "/api/v1/tokens", {"name": "ci", "scopes": ["write:leafscan", "read"]})
    assert made.status == 201, made.body
    assert made.body["token"].startswith("mlmesh_")
    verified = await either.call("POST", VERIFY, {"token": made.body["token"]})
    assert (verified.status, verified.body) == (
        200,
        {"name": "ci", "scopes": ["read", "write:leafscan"], "expires_in": None},
    )
    (listed,) = (await either.get("/api/v1/tokens"))["items"]
    assert listed == {key: value for key, value in made.body.items() if key != "token"}
    assert (await either.call("POST", "/api/v1/tokens", {"name": "ci", "scopes": ["read"]})).status == 409
    assert (await either.call("DELETE", "/api/v1/tokens/ci")).status == 204
    assert (await either.call("DELETE", "/api/v1/tokens/ci")).status == 404
    assert (await either.call("POST", VERIFY, {"token": made.body["token"]})).status == 401


async def test_the_token_of_the_settings_may_do_everything(registry: Registry) -> None:
    answer = await registry.call("POST", VERIFY, {"token": "the-admin-token"})
    assert (answer.status, answer.body) == (200, {"name": "admin", "scopes": ["admin"], "expires_in": None})
    for wrong in ("", "the-admin-toke", "the-admin-token "):
        assert (await registry.call("POST", VERIFY, {"token": wrong})).status == 401


async def test_a_token_ends_at_its_time(registry: Registry) -> None:
    made = await registry.call("POST", "/api/v1/tokens", {"name": "short", "scopes": ["read"], "expires_in": "1s"})

    told = (await registry.call("POST", VERIFY, {"token": made.body["token"]})).body
    assert 0 < told["expires_in"] <= 1.0

    async def verified() -> int:
        return (await registry.call("POST", VERIFY, {"token": made.body["token"]})).status

    await until(verified, lambda status: status == 401)


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
        headers = {identity.SCOPES: scopes}
        assert (await registry.call("GET", "/api/v1/tokens", headers=headers)).status == 403
        assert (
            await registry.call("POST", "/api/v1/tokens", {"name": "x", "scopes": ["admin"]}, headers)
        ).status == 403
        assert (await registry.call("DELETE", "/api/v1/tokens/x", headers=headers)).status == 403


async def test_an_api_key_is_shown_once_and_given_to_the_scheduler_as_its_hash(either: Registry) -> None:
    await either.call("POST", "/api/v1/apps", {"name": "leafscan"})
    made = await either.call("POST", "/api/v1/apps/leafscan/keys", {"user": "alice"})
    assert made.status == 201, made.body
    hashed = hashlib.sha256(made.body["key"].encode()).hexdigest()
    assert (await either.get("/internal/access"))["apps"]["leafscan"]["keys"] == {hashed: "alice"}
    (listed,) = (await either.get("/api/v1/apps/leafscan/keys"))["items"]
    assert listed == {key: value for key, value in made.body.items() if key != "key"}
    assert (await either.call("DELETE", f"/api/v1/apps/leafscan/keys/{listed['id']}")).status == 204
    assert (await either.call("DELETE", f"/api/v1/apps/leafscan/keys/{listed['id']}")).status == 404
    assert (await either.get("/internal/access"))["apps"]["leafscan"]["keys"] == {}


@pytest.mark.parametrize("user", ["", "a b", "a" * 65, "ü"])
async def test_a_key_for_a_name_that_is_none_is_422(registry: Registry, user: str) -> None:
    await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    assert (await registry.call("POST", "/api/v1/apps/leafscan/keys", {"user": user})).status == 422


async def test_keys_belong_to_an_app_and_its_owners(registry: Registry) -> None:
    assert (await registry.call("POST", "/api/v1/apps/nobody/keys", {"user": "alice"})).status == 404
    answer = await registry.call("POST", "/api/v1/apps/nobody/keys", {"user": "a"}, {identity.SCOPES: "write:other"})
    assert answer.status == 403
