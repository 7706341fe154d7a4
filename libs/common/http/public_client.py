"""SSRF-safe HTTP client for URLs that users choose: public addresses, and networks that the operator allows.

A host is resolved once and the client connects to the resulting addresses, so neither a spelling nor a DNS record that
changes between the check and the request reaches an internal address.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import aiohttp
from yarl import URL

from libs.common.http.addresses import Address, NetworkPolicy, PrivateAddressError

TIMEOUT_S = 15.0
RESOLVE_TIMEOUT_S = 2.0
MAX_RESPONSE_BYTES = 2048
"""Bytes of a response that are read."""


@dataclass(frozen=True)
class PublicResponse:
    """`headers` have lower-case names; `body` is its first MAX_RESPONSE_BYTES."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class PublicHttpClient:
    def __init__(self, session: aiohttp.ClientSession, reach: NetworkPolicy) -> None:
        self._session, self._reach = session, reach

    async def send(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> PublicResponse:
        """Redirects are not followed. Raises OSError, aiohttp.ClientError, TimeoutError."""
        target = URL(url)
        async with asyncio.timeout(TIMEOUT_S):
            addresses = await self._reach.resolve(target.host or "", target.port or 0)
            for address in addresses[:-1]:
                try:
                    return await self._send_to_address(method, target, address, body, headers)
                except aiohttp.ClientConnectorError:
                    continue
            try:
                return await self._send_to_address(method, target, addresses[-1], body, headers)
            except aiohttp.ClientConnectorError as error:
                raise error.os_error from error

    async def _send_to_address(
        self, method: str, target: URL, address: Address, body: bytes, headers: Mapping[str, str]
    ) -> PublicResponse:
        async with self._session.request(
            method,
            target.with_host(str(address)),
            data=body,
            headers={**headers, "Host": _host_header(target)},
            allow_redirects=False,
            server_hostname=_certificate_name(target),
        ) as response:
            start = await _read_start(response.content)
            names = {name.lower(): value for name, value in response.headers.items()}
            return PublicResponse(response.status, names, start)

    async def explain_refusal(self, url: str) -> str | None:
        """Why requests to this URL are refused; None when they are allowed, or when its host cannot be resolved now."""
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                await self._reach.resolve(URL(url).host or "")
        except PrivateAddressError as error:
            return str(error)
        except (OSError, TimeoutError):
            return None
        return None


async def _read_start(content: aiohttp.StreamReader) -> bytes:
    start = b""
    while len(start) < MAX_RESPONSE_BYTES and (chunk := await content.read(MAX_RESPONSE_BYTES - len(start))):
        start += chunk
    return start


def _host_header(target: URL) -> str:
    host = target.host_subcomponent or ""
    return host if target.is_default_port() else f"{host}:{target.port}"


def _certificate_name(target: URL) -> str | None:
    """The host name that the certificate must match; None for an IP address or plain HTTP."""
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
