"""How long the gateway takes registry's word for a token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.common.errors import Unavailable
from services.gateway.auth.tokens import FRESH_S, Tokens
from services.gateway.http_errors import NoCredentials
from services.gateway.internal_client import Service
from services.gateway.proxy.connection_pool import Pool
from services.gateway.ttl_cache import KEPT_S
from tests.gateway.fake_server import serving
from tests.gateway.mesh import Registry


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with serving(Registry()) as found:
        yield found


@pytest.fixture
async def tokens(registry: Registry, clock: Clock) -> AsyncIterator[Tokens]:
    pool = Pool()
    yield Tokens(Service(pool, "registry", registry.url, "internal"), clock)
    pool.close()


async def test_calls_within_a_second_ask_once(tokens: Tokens, registry: Registry, clock: Clock) -> None:
    await asyncio.gather(*(tokens.caller("owner") for _ in range(20)))
    assert len(registry.asked) == 1
    clock.now += FRESH_S
    await tokens.caller("owner")
    assert len(registry.asked) == 2


async def test_a_revoked_token_is_good_for_a_second_more(tokens: Tokens, registry: Registry, clock: Clock) -> None:
    await tokens.caller("owner")
    registry.revoked.add("owner")
    clock.now += FRESH_S
    with pytest.raises(NoCredentials):
        await tokens.caller("owner")


async def test_a_token_is_good_no_longer_than_it_was_made_for(tokens: Tokens, registry: Registry, clock: Clock) -> None:
    registry.left["owner"] = 0.5
    await tokens.caller("owner")
    registry.revoked.add("owner")
    clock.now += 0.5
    with pytest.raises(NoCredentials):
        await tokens.caller("owner")


async def test_a_refusal_is_remembered_for_a_second(tokens: Tokens, registry: Registry) -> None:
    for _ in range(3):
        with pytest.raises(NoCredentials):
            await tokens.caller("unknown")
    assert len(registry.asked) == 1


@pytest.mark.parametrize(("left", "good"), [(None, KEPT_S), (5.0, 5.0)])
async def test_while_registry_is_away_a_token_is_what_it_was(clock: Clock, left: float | None, good: float) -> None:
    async with serving(Registry(left={} if left is None else {"owner": left})) as registry:
        pool = Pool()
        tokens = Tokens(Service(pool, "registry", registry.url, "internal"), clock)
        known = await tokens.caller("owner")
    clock.now += good - 0.1
    assert await tokens.caller("owner") == known
    clock.now += 0.1
    with pytest.raises(Unavailable):
        await tokens.caller("owner")
    pool.close()
