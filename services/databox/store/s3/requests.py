"""Requests to the objects of a bucket over presigned URLs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import aiohttp
from yarl import URL

from libs.common.errors import NotFound
from services.databox.store import ExpectedVersion
from services.databox.store.s3.errors import FileReplaced, error_from_response, unreachable_error

PresignRequest = Callable[[str, str, Mapping[str, str]], str]
"""The URL of a request: its method, key and query."""


@dataclass(frozen=True)
class S3Response:
    status: int
    headers: Any
    body: bytes

    @property
    def etag(self) -> str:
        return str(self.headers.get("ETag", "")).strip('"')


class S3Requests:
    def __init__(self, session: aiohttp.ClientSession, presign: PresignRequest) -> None:
        self._session = session
        self._presign = presign

    async def send(
        self,
        method: str,
        key: str,
        *,
        data: bytes = b"",
        query: dict[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> S3Response:
        async with self.open_response(method, key, data=data, query=query, headers=headers) as response:
            return S3Response(response.status, response.headers, await response.read())

    async def send_conditional(
        self, method: str, key: str, expected: ExpectedVersion | None, **options: Any
    ) -> S3Response:
        """The response to a request with the precondition `expected`. Raises PreconditionFailed."""
        try:
            return await self.send(method, key, headers=_condition_headers(expected), **options)
        except NotFound as error:  # S3 answers 404 if `If-Match` finds no object
            raise (
                ExpectedVersion.mismatch_error(key)
                if expected is not None and expected.etag and method != "DELETE"
                else error
            ) from error
        except FileReplaced as error:
            raise ExpectedVersion.mismatch_error(key) from error

    @asynccontextmanager
    async def open_response(
        self,
        method: str,
        key: str,
        *,
        data: bytes = b"",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = self._presign(method, key, query or {})
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),
                data=BytesIO(data) if data else None,
                headers=headers,
                allow_redirects=False,
            ) as response:
                if response.status >= 300:
                    raise error_from_response(response.status, await response.read())
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable_error() from error


def _condition_headers(expected: ExpectedVersion | None) -> Mapping[str, str]:
    if expected is None:
        return {}
    return {"If-None-Match": "*"} if expected.etag is None else {"If-Match": f'"{expected.etag}"'}
