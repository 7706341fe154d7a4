"""HTTP client for the other services. It raises their errors as MeshError, and Unavailable without a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from libs.common import log
from libs.common.errors import TimedOut, Unavailable, from_problem
from libs.common.settings import Settings

RESPONSE_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 3.0
RETRY_AFTER_S = 1.0
"""`Retry-After` of a timeout."""
MAX_CONNECTIONS = 200
"""To all services together."""


class ServiceClient:
    """HTTP client of one service."""

    def __init__(self, session: aiohttp.ClientSession, name: str, url: str, token: str) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self._session = session
        self._token = token

    async def get(self, path: str, *, timeout: float = RESPONSE_TIMEOUT_S, **params: Any) -> Any:
        return await self._request_json("GET", path, None, timeout, params)

    async def post(self, path: str, body: Any = None, *, timeout: float = RESPONSE_TIMEOUT_S, **params: Any) -> Any:
        return await self._request_json("POST", path, body, timeout, params)

    async def put(self, path: str, body: Any = None, *, timeout: float = RESPONSE_TIMEOUT_S, **params: Any) -> Any:
        return await self._request_json("PUT", path, body, timeout, params)

    async def delete(self, path: str, *, timeout: float = RESPONSE_TIMEOUT_S, **params: Any) -> Any:
        return await self._request_json("DELETE", path, None, timeout, params)

    async def _request_json(self, method: str, path: str, body: Any, timeout: float, params: Mapping[str, Any]) -> Any:
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        limit = aiohttp.ClientTimeout(total=timeout, connect=CONNECT_TIMEOUT_S)
        async with self.stream(method, path, data=data, headers=headers, params=params, timeout=limit) as response:
            if response.status == 304:
                return None
            content = await response.read()
            return orjson.loads(content) if content else None

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response whose body the caller reads. Raises the service's error, TimedOut or Unavailable."""
        limit = timeout or aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=RESPONSE_TIMEOUT_S)
        all_headers = {**self._build_headers(), **(headers or {})}
        query = {key: _encode_param(value) for key, value in (params or {}).items() if value is not None}
        try:
            async with self._session.request(
                method,
                self.url + path,
                data=data,
                headers=all_headers,
                params=query,
                timeout=limit,
                allow_redirects=False,
            ) as response:
                if response.status >= 400:
                    raise from_problem(response.status, _parse_problem(await response.read()))
                yield response
        except TimeoutError as error:
            raise TimedOut(f"{self.name} did not respond in time", retry_after=RETRY_AFTER_S) from error
        except aiohttp.ClientError as error:
            raise Unavailable(f"{self.name} cannot be reached") from error

    def _build_headers(self) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._token}"}
        if log.request_id.get():
            headers["X-Request-ID"] = log.request_id.get()
        if log.traceparent.get():
            headers["traceparent"] = log.traceparent.get()
        return headers


def _encode_param(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse_problem(body: bytes) -> Mapping[str, object]:
    try:
        problem = orjson.loads(body)
    except orjson.JSONDecodeError:
        problem = None
    return problem if isinstance(problem, dict) else {"detail": body[:500].decode(errors="replace")}


@dataclass(frozen=True)
class ServiceClients:
    registry: ServiceClient
    scheduler: ServiceClient
    databox: ServiceClient
    session: aiohttp.ClientSession
    """For signed links, which need no internal token."""


@asynccontextmanager
async def open_service_clients(settings: Settings) -> AsyncIterator[ServiceClients]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS), auto_decompress=False
    ) as session:

        def open_client(name: str, url: str) -> ServiceClient:
            return ServiceClient(session, name, url, settings.internal_token)

        yield ServiceClients(
            registry=open_client("registry", settings.registry_url),
            scheduler=open_client("scheduler", settings.scheduler_url),
            databox=open_client("databox", settings.databox_url),
            session=session,
        )
