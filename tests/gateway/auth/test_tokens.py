"""How long a token's verification is cached, with and without the registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.common.errors import Unavailable
from services.gateway.auth.tokens import FRESH_S, TokenVerifier
from services.gateway.http_errors import MissingCredentials
from services.gateway.internal_client import InternalService
from services.gateway.proxy.connection_pool import ConnectionPool
from services.gateway.ttl_cache import TTL_S
from tests.gateway.fake_clock import FakeClock
from tests.gateway.fake_server import serve
from tests.gateway.mesh import Registry


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with serve(Registry()) as registry:
        yield registry


@pytest.fixture
async def tokens(registry: Registry, clock: FakeClock) -> AsyncIterator[TokenVerifier]:
    pool = ConnectionPool()
    yield TokenVerifier(InternalService(pool, "registry", registry.url, "internal"), clock)
    pool.close()


async def test_calls_within_a_second_ask_once(tokens: TokenVerifier, registry: Registry, clock: FakeClock) -> None:
    await asyncio.gather(*(tokens.verify("owner") for _ in range(20)))
    assert len(registry.requests) == 1
    clock.now += FRESH_S
    await tokens.verify("owner")
    assert len(registry.requests) == 2


async def test_a_revoked_token_is_good_for_a_second_more(
    tokens: TokenVerifier, registry: Registry, clock: FakeClock
) -> None:
    await tokens.verify("owner")
    registry.revoked.add("owner")
    clock.now += FRESH_S
    with pytest.raises(MissingCredentials):
        await tokens.verify("owner")


async def test_after_a_change_the_registry_is_asked_again(tokens: TokenVerifier, registry: Registry) -> None:
    await tokens.verify("owner")
    tokens.ask_again("owner")
    await tokens.verify("owner")
    assert len(registry.requests) == 2
    tokens.ask_again("owner")
    registry.revoked.add("owner")
    with pytest.raises(MissingCredentials):
        await tokens.verify("owner")


async def test_a_token_is_good_no_longer_than_it_was_made_for(
    tokens: TokenVerifier, registry: Registry, clock: FakeClock
) -> None:
    registry.seconds_left["owner"] = 0.5
    await tokens.verify("owner")
    registry.revoked.add("owner")
    clock.now += 0.5
    with pytest.raises(MissingCredentials):
        await tokens.verify("owner")


async def test_a_refusal_is_remembered_for_a_second(tokens: TokenVerifier, registry: Registry) -> None:
    for _ in range(3):
        with pytest.raises(MissingCredentials):
            await tokens.verify("unknown")
    assert len(registry.requests) == 1


@pytest.mark.parametrize(("expires_in", "usable_s"), [(None, TTL_S), (5.0, 5.0)])
async def test_while_registry_is_away_a_token_is_what_it_was(
    clock: FakeClock, expires_in: float | None, usable_s: float
) -> None:
    async with serve(Registry(seconds_left={} if expires_in is None else {"owner": expires_in})) as registry:
        pool = ConnectionPool()
        tokens = TokenVerifier(InternalService(pool, "registry", registry.url, "internal"), clock)
        caller = await tokens.verify("owner")
    clock.now += usable_s - 0.1
    assert await tokens.verify("owner") == caller
    clock.now += 0.1
    with pytest.raises(Unavailable):
        await tokens.verify("owner")
    pool.close()
