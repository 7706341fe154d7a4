"""The store: what databox asks of it, as requests and calls of the SDK."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import urllib3
from minio import Minio
from minio.commonconfig import CopySource
from minio.error import MinioException, S3Error

from libs.common.errors import NotFound, Unavailable
from libs.common.http.ranges import Span
from libs.common.protocol.staging import Audience
from services.databox.links import Link, Method, content_disposition
from services.databox.store import CHUNK_BYTES, ExpectedVersion, Stat, list_in_batches
from services.databox.store.s3.address import S3Address
from services.databox.store.s3.errors import error_from_code, unreachable_error
from services.databox.store.s3.multipart_upload import PART_BYTES, MultipartUpload
from services.databox.store.s3.requests import S3Requests
from services.databox.store.transfer import check_size, split_pieces

T = TypeVar("T")
THREADS = 8
CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 60.0
"""Longest silence of the server, also while it copies."""
OWN_LINK_LIFETIME = timedelta(hours=1)
"""Lifetime of a URL that databox uses immediately; S3 checks it only when the request starts."""
CONNECTIONS = 100


class S3Store:
    has_presigned_links = True

    def __init__(
        self,
        address: S3Address,
        public_url: str | None,
        databox_url: Callable[[Link], str],
        session: aiohttp.ClientSession,
        pool: ThreadPoolExecutor,
    ) -> None:
        """Callers reach the server at `public_url`; without one their links are those of `databox_url`."""
        self._bucket = address.bucket
        self._client = _create_client(address, address.host, tls=address.tls)
        self._signers = {"inside": self._client}
        if public_url:
            public = urlsplit(public_url)
            self._signers["public"] = _create_client(address, public.netloc, tls=public.scheme == "https")
        self._databox_url = databox_url
        self._requests = S3Requests(session, self._presign)
        self._pool = pool

    async def put(
        self, key: str, body: AsyncIterator[bytes], size: int | None = None, *, expected: ExpectedVersion | None = None
    ) -> Stat:
        parts = split_pieces(body if size is None else check_size(body, size), PART_BYTES)
        first = await anext(parts)
        if len(first) == PART_BYTES:
            return await self._put_multipart(key, first, parts, expected)
        response = await self._requests.send_conditional("PUT", key, expected, data=first)
        return Stat(key, len(first), response.etag, _parse_http_date(response.headers.get("Date")))

    async def _put_multipart(
        self, key: str, first: bytes, remainder: AsyncIterator[bytes], expected: ExpectedVersion | None
    ) -> Stat:
        async with MultipartUpload(
            self._requests.send, partial(self._requests.send_conditional, "POST", key, expected), key
        ) as upload:
            await upload.add_part(first)
            async for piece in remainder:
                if piece:
                    await upload.add_part(piece)
        stat = await self.stat(key)
        if stat is None:
            raise Unavailable(f"{key} was stored and deleted again")
        return stat

    @asynccontextmanager
    async def get(self, stat: Stat, span: Span | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        headers = {"If-Match": f'"{stat.etag}"'}
        if span is not None and span.length < stat.size:
            headers["Range"] = f"bytes={span.start}-{span.end - 1}"
        async with self._requests.open_response("GET", stat.key, headers=headers) as response:
            yield _iterate_content(response)

    async def stat(self, key: str) -> Stat | None:
        if key.endswith("/"):
            return None
        try:
            response = await self._requests.send("HEAD", key)
        except NotFound:
            return None
        modified = _parse_http_date(response.headers.get("Last-Modified"))
        return Stat(key, int(response.headers["Content-Length"]), response.etag, modified)

    def list(self, prefix: str, start_after: str = "", limit: int | None = None) -> AsyncIterator[Stat]:
        return list_in_batches(self._iterate_stats(prefix, start_after), self._run_in_thread, limit)

    def _iterate_stats(self, prefix: str, start_after: str) -> Iterator[Stat]:
        for entry in self._client.list_objects(self._bucket, prefix, recursive=True, start_after=start_after or None):
            key = entry.object_name or ""
            if not key.endswith("/"):  # marker of an empty folder
                modified = entry.last_modified.timestamp() if entry.last_modified else 0.0
                yield Stat(key, entry.size or 0, (entry.etag or "").strip('"'), modified)

    async def delete(self, key: str, *, expected: ExpectedVersion | None = None) -> None:
        if expected is not None and ExpectedVersion.from_stat(await self.stat(key)) != expected:
            raise ExpectedVersion.mismatch_error(key)
        try:
            await self._requests.send_conditional("DELETE", key, expected)
        except NotFound:
            return

    async def copy(self, source: Stat, target: str) -> Stat:
        origin = CopySource(self._bucket, source.key, match_etag=source.etag)
        await self._run_in_thread(lambda: self._client.copy_object(self._bucket, target, origin))
        stat = await self.stat(target)
        if stat is None:
            raise Unavailable(f"{target} was copied and deleted again")
        return stat

    async def link(self, method: Method, key: str, expires: int, audience: Audience, size: int | None = None) -> str:
        signer = self._signers.get(audience)
        if signer is None:
            return self._databox_url(Link(method, key, time.time() + expires, size))
        response_headers: dict[str, str | list[str] | tuple[str]] = {}
        if (method, audience) == ("GET", "public"):
            response_headers["response-content-disposition"] = content_disposition(key)
        return signer.get_presigned_url(
            method, self._bucket, key, expires=timedelta(seconds=expires), response_headers=response_headers
        )

    async def ready(self) -> None:
        await self._run_in_thread(self._ensure_bucket)

    def _ensure_bucket(self) -> None:
        if self._client.bucket_exists(self._bucket):
            return
        try:
            self._client.make_bucket(self._bucket)
        except S3Error as error:
            if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    def _presign(self, method: str, key: str, query: Mapping[str, str]) -> str:
        return self._client.get_presigned_url(
            method, self._bucket, key, expires=OWN_LINK_LIFETIME, extra_query_params=dict(query)
        )

    async def _run_in_thread(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except S3Error as error:
            raise error_from_code(error.code or "", error.message or "") from error
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable_error() from error


@asynccontextmanager
async def open_s3(url: str, public_url: str | None, databox_url: Callable[[Link], str]) -> AsyncIterator[S3Store]:
    address = S3Address.from_url(url)
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S)
    with ThreadPoolExecutor(THREADS, "s3") as pool:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
            yield S3Store(address, public_url, databox_url, session, pool)


def _create_client(address: S3Address, host: str, *, tls: bool) -> Minio:
    timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)
    pool = urllib3.PoolManager(timeout=timeout, maxsize=THREADS, retries=urllib3.Retry(1, backoff_factor=0.1))
    return Minio(host, address.access, address.secret, secure=tls, region=address.region, http_client=pool)


async def _iterate_content(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        yield chunk


def _parse_http_date(header: str | None) -> float:
    return parsedate_to_datetime(header).timestamp() if header else 0.0
