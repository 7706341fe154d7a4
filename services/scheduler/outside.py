"""Calls to addresses that callers name: public ones only, and those that the operator allows.

What counts is the address that is connected to, so a name that is changed between a check and the call opens nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

TIMEOUT_S = 15.0
RESOLVE_S = 2.0
ENOUGH = 2048
"""Bytes of an answer that are read, so that its connection ends in order."""
NAT64 = ip_network("64:ff9b::/96")
Address = IPv4Address | IPv6Address


class Internal(OSError):
    """The address is not one that callers may make this service call."""


class Guard:
    """`allowed`: networks besides the public ones."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = [ip_network(one) for one in allowed]

    def may(self, address: Address) -> bool:
        inner = _inner(address)
        if any(inner in network for network in self._allowed):
            return True
        return inner.is_global and not inner.is_multicast

    def check(self, host: str) -> None:
        """Raises Internal for an address that is written out and may not be called."""
        try:
            address = ip_address(host)
        except ValueError:
            return
        if not self.may(address):
            raise Internal(f"{host} is not a public address")


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


class Resolver(AbstractResolver):
    """Names to addresses, without those that may not be called."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        good = [one for one in found if self._guard.may(ip_address(one["host"]))]
        if not good:
            raise Internal(f"{host} has no public address")
        return good

    async def close(self) -> None:
        await self._inner.close()


class Outside:
    def __init__(self, session: aiohttp.ClientSession, guard: Guard, resolver: Resolver) -> None:
        self._session, self._guard, self._resolver = session, guard, resolver

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer; redirects are not followed. Raises OSError, aiohttp.ClientError, TimeoutError."""
        self._guard.check(urlsplit(url).hostname or "")
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                await answer.content.read(ENOUGH)
                return answer.status
        except aiohttp.ClientConnectorError as error:
            raise error.os_error from error

    async def refused(self, url: str) -> str | None:
        """Why this URL will never be called; None when it may be, or when its name cannot be found out now."""
        host = urlsplit(url).hostname or ""
        try:
            self._guard.check(host)
            async with asyncio.timeout(RESOLVE_S):
                await self._resolver.resolve(host, family=socket.AF_UNSPEC)
        except Internal as error:
            return str(error)
        except (OSError, TimeoutError, UnicodeError):
            return None
        return None


@asynccontextmanager
async def open_outside(allowed: Iterable[str]) -> AsyncIterator[Outside]:
    guard = Guard(allowed)
    resolver = Resolver(guard)
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        auto_decompress=False,
    ) as session:
        yield Outside(session, guard, resolver)
