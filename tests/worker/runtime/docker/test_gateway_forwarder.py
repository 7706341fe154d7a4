"""The gateway forwarder; another loopback address stands for the host's address in an app's network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from libs.common.http.addresses import is_loopback
from libs.common.http.server import bind
from services.worker.runtime.docker.gateway_forwarder import PORTS, GatewayForwarder

NETWORK = "127.0.0.2"
MUCH = bytes(range(256)) * 40_000
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def connect_through_forwarder(answer: Answer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect through a forwarder to a server that runs `answer`."""
    gateway = await asyncio.start_server(answer, sock=bind("127.0.0.1", 0))
    forwarder = GatewayForwarder(f"http://127.0.0.1:{gateway.sockets[0].getsockname()[1]}/")
    async with asyncio.timeout(20.0), gateway:
        reader, writer = await asyncio.open_connection(NETWORK, await forwarder.listen(NETWORK))
        try:
            yield reader, writer
        finally:
            writer.close()
            await forwarder.close()
            with suppress(OSError):
                await writer.wait_closed()


async def test_bytes_pass_both_ways_and_so_do_the_ends() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(-1))
        writer.close()

    async with connect_through_forwarder(echo) as (reader, writer):
        writer.write(MUCH)
        writer.write_eof()
        assert await reader.read(-1) == MUCH


async def test_the_gateway_does_not_take_a_container_for_a_program_of_its_host() -> None:
    async def tell(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(writer.get_extra_info("peername")[0].encode())
        writer.close()

    async with connect_through_forwarder(tell) as (reader, _):
        assert await reader.read(-1) == NETWORK.encode()


async def test_what_breaks_off_on_one_side_ends_on_the_other() -> None:
    ended = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"here")
        await reader.read(-1)
        ended.set()
        writer.close()

    async with connect_through_forwarder(wait) as (reader, writer):
        assert await reader.readexactly(4) == b"here"
        writer.transport.abort()
        await ended.wait()


async def test_a_gateway_that_is_away_is_a_closed_connection() -> None:
    with bind("127.0.0.1", 0) as nobody:
        forwarder = GatewayForwarder(f"http://localhost:{nobody.getsockname()[1]}")
        async with asyncio.timeout(20.0):
            reader, writer = await asyncio.open_connection(NETWORK, await forwarder.listen(NETWORK))
            assert await reader.read(-1) == b""
            writer.close()
            await forwarder.close()


async def test_an_address_has_one_port_and_the_first_that_is_free() -> None:
    forwarder = GatewayForwarder("http://127.0.0.1:8000")
    with bind("127.0.0.3", PORTS[0]) as bound:
        bound.listen()
        assert [await forwarder.listen("127.0.0.3") for _ in range(2)] == [PORTS[1]] * 2
    assert await forwarder.listen("127.0.0.4") == PORTS[0]
    forwarder.stop_listening("127.0.0.3")
    assert await forwarder.listen("127.0.0.3") == PORTS[0]
    await forwarder.close()


async def test_an_engine_elsewhere_has_networks_that_are_not_this_hosts() -> None:
    assert await GatewayForwarder("http://127.0.0.1:8000").listen("192.0.2.77") is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("127.9.9.9", True),
        ("10.0.0.1", False),
        ("mesh", False),
    ],
)
def test_loopback_addresses_are_known(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected
