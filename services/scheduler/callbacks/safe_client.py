"""Calls to addresses that callers name: public ones only, and those that the operator allows.

A host is looked up once and the addresses that came out are connected to, so neither a spelling nor a name that is
changed between a check and the call opens anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address

import aiohttp
from yarl import URL

from libs.common.http.addresses import Address, NetworkPolicy, PrivateAddressError

TIMEOUT_S = 15.0
RESOLVE_TIMEOUT_S = 2.0
MAX_RESPONSE_BYTES = 2048
"""Bytes of an answer that are read, so that its connection ends in order."""


class PublicHttpClient:
    def __init__(self, session: aiohttp.ClientSession, reach: NetworkPolicy) -> None:
        self._session, self._reach = session, reach

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer; redirects are not followed. Raises OSError, aiohttp.ClientError, TimeoutError."""
        target = URL(url)
        async with asyncio.timeout(TIMEOUT_S):
            addresses = await self._reach.resolve(target.host or "", target.port or 0)
            for address in addresses[:-1]:
                try:
                    return await self._post_to_address(target, address, body, headers)
                except aiohttp.ClientConnectorError:
                    continue
            try:
                return await self._post_to_address(target, addresses[-1], body, headers)
            except aiohttp.ClientConnectorError as error:
                raise error.os_error from error

    async def _post_to_address(self, target: URL, address: Address, body: bytes, headers: Mapping[str, str]) -> int:
        async with self._session.post(
            target.with_host(str(address)),
            data=body,
            headers={**headers, "Host": _host_header(target)},
            allow_redirects=False,
            server_hostname=_certificate_name(target),
        ) as response:
            await response.content.read(MAX_RESPONSE_BYTES)
            return response.status

    async def explain_refusal(self, url: str) -> str | None:
        """Why this URL will never be called; None when it may be, or when its name cannot be found out now."""
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                await self._reach.resolve(URL(url).host or "")
        except PrivateAddressError as error:
            return str(error)
        except (OSError, TimeoutError):
            return None
        return None


def _host_header(target: URL) -> str:
    host = target.host_subcomponent or ""
    return host if target.is_default_port() else f"{host}:{target.port}"


def _certificate_name(target: URL) -> str | None:
    """The name that a certificate must have; None when it must have the address itself."""
    if target.scheme != "https":
        return None
    try:
        ip_address(target.host or "")
    except ValueError:
        return target.raw_host
    return None


@asynccontextmanager
async def open_public_http(allowed: Iterable[str]) -> AsyncIterator[PublicHttpClient]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        auto_decompress=False,
    ) as session:
        yield PublicHttpClient(session, NetworkPolicy(allowed))
