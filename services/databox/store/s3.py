"""The store on an S3 server: `s3://access:secret@host:port/bucket`, with `?tls=1` and `?region=` when needed.

The SDK signs, lists and copies; bytes move over presigned URLs. Calls of the SDK that reach the server run in a few
threads of their own. A presigned URL is good for the host that it was signed for: one endpoint for inside, one public.
Where callers do not reach the server, their links lead through databox.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from io import BytesIO
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import urllib3
from minio import Minio
from minio.commonconfig import CopySource
from minio.error import MinioException, S3Error
from yarl import URL

from libs.common.errors import Conflict, MeshError, NotFound, Unavailable
from libs.common.http.ranges import Span
from services.databox.links import Link, Method, disposition
from services.databox.store import CHUNK_BYTES, Only, Reader, Stat, batched
from services.databox.store.address import Address
from services.databox.store.multipart_upload import PART_BYTES, Parts
from services.databox.store.transfer import exactly, pieces

T = TypeVar("T")
THREADS = 8
CONNECT_TIMEOUT_S = 3.0
SILENCE_TIMEOUT_S = 60.0
"""How long the server may say nothing, also while it copies."""
SIGNED_FOR = timedelta(hours=1)
"""For a presigned URL that we use ourselves, at once: only the start of the request counts."""
CONNECTIONS = 100
RETRY_AFTER_S = 2.0
CODE = re.compile(rb"<Code>([^<]+)</Code>")
MISSING = ("NoSuchKey", "NoSuchBucket", "NotFound")
IN_THE_WAY = (
    "ObjectParentIsFile", "XMinioParentIsObject", "ExistingObjectIsDirectory", "XMinioObjectExistsAsDirectory",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def etag(self) -> str:
        return str(self.headers.get("ETag", "")).strip('"')


class Replaced(Unavailable):
    """The file has just been replaced."""


class S3Store:
    links_bypass = True

    def __init__(
        self,
        address: Address,
        public_url: str | None,
        through: Callable[[Link], str],
        session: aiohttp.ClientSession,
        pool: ThreadPoolExecutor,
    ) -> None:
        """Callers reach the server at `public_url`; else their links lead `through` databox."""
        self._bucket = address.bucket
        self._client = _client(address, address.host, tls=address.tls)
        self._signers = {"inside": self._client}
        if public_url:
            public = urlsplit(public_url)
            self._signers["public"] = _client(address, public.netloc, tls=public.scheme == "https")
        self._through = through
        self._session = session
        self._pool = pool

    async def put(
        self, key: str, body: AsyncIterator[bytes], size: int | None = None, *, only: Only | None = None
    ) -> Stat:
        parts = pieces(body if size is None else exactly(body, size), PART_BYTES)
        first = await anext(parts)
        if len(first) == PART_BYTES:
            return await self._put_parts(key, first, parts, only)
        answer = await self._changed("PUT", key, only, data=first)
        return Stat(key, len(first), answer.etag, _time(answer.headers.get("Date")))

    async def _put_parts(self, key: str, first: bytes, rest: AsyncIterator[bytes], only: Only | None) -> Stat:
        async with Parts(self._send, partial(self._changed, "POST", key, only), key) as parts:
            await parts.add(first)
            async for piece in rest:
                if piece:
                    await parts.add(piece)
        found = await self.stat(key)
        if found is None:
            raise Unavailable(f"{key} was stored and has gone again")
        return found

    @asynccontextmanager
    async def get(self, stat: Stat, span: Span | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        headers = {"If-Match": f'"{stat.etag}"'}
        if span is not None and span.length < stat.size:
            headers["Range"] = f"bytes={span.start}-{span.end - 1}"
        async with self._request("GET", stat.key, headers=headers) as answer:
            yield _chunks(answer)

    async def stat(self, key: str) -> Stat | None:
        if key.endswith("/"):
            return None
        try:
            answer = await self._send("HEAD", key)
        except NotFound:
            return None
        modified = _time(answer.headers.get("Last-Modified"))
        return Stat(key, int(answer.headers["Content-Length"]), answer.etag, modified)

    def list(self, prefix: str, after: str = "", limit: int | None = None) -> AsyncIterator[Stat]:
        return batched(self._found(prefix, after), self._threaded, limit)

    def _found(self, prefix: str, after: str) -> Iterator[Stat]:
        for found in self._client.list_objects(self._bucket, prefix, recursive=True, start_after=after or None):
            key = found.object_name or ""
            if not key.endswith("/"):  # the empty marker of a folder, not a file
                modified = found.last_modified.timestamp() if found.last_modified else 0.0
                yield Stat(key, found.size or 0, (found.etag or "").strip('"'), modified)

    async def delete(self, key: str, *, only: Only | None = None) -> None:
        if only is not None and Only.of(await self.stat(key)) != only:
            raise Only.refusal(key)
        try:
            await self._changed("DELETE", key, only)
        except NotFound:
            return

    async def _changed(self, method: str, key: str, only: Only | None, **more: Any) -> Answer:
        """The answer to a request that is to be refused unless `only` this version is there."""
        try:
            return await self._send(method, key, headers=_condition(only), **more)
        except NotFound as error:  # what S3 says where `If-Match` finds nothing
            raise Only.refusal(key) if only is not None and only.etag and method != "DELETE" else error from error
        except Replaced as error:
            raise Only.refusal(key) from error

    async def copy(self, source: Stat, target: str) -> Stat:
        origin = CopySource(self._bucket, source.key, match_etag=source.etag)
        await self._threaded(lambda: self._client.copy_object(self._bucket, target, origin))
        found = await self.stat(target)
        if found is None:
            raise Unavailable(f"{target} was copied and has gone again")
        return found

    async def link(self, method: Method, key: str, expires: int, reader: Reader, size: int | None = None) -> str:
        signer = self._signers.get(reader)
        if signer is None:
            return self._through(Link(method, key, time.time() + expires, size))
        named: dict[str, str | list[str] | tuple[str]] = {}
        if (method, reader) == ("GET", "public"):
            named["response-content-disposition"] = disposition(key)
        return signer.get_presigned_url(
            method, self._bucket, key, expires=timedelta(seconds=expires), response_headers=named
        )

    async def ready(self) -> None:
        await self._threaded(self._ensure_bucket)

    def _ensure_bucket(self) -> None:
        if self._client.bucket_exists(self._bucket):
            return
        try:
            self._client.make_bucket(self._bucket)
        except S3Error as error:
            if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    async def _threaded(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except S3Error as error:
            raise _translated(error.code or "", error.message or "") from error
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _away() from error

    async def _send(
        self,
        method: str,
        key: str,
        *,
        data: bytes = b"",
        query: dict[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        async with self._request(method, key, data=data, query=query, headers=headers) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        key: str,
        *,
        data: bytes = b"",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = self._client.get_presigned_url(
            method, self._bucket, key, expires=SIGNED_FOR, extra_query_params=dict(query or {})
        )
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),
                data=BytesIO(data) if data else None,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                if answer.status >= 300:
                    raise _refused(answer.status, await answer.read())
                yield answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _away() from error


@asynccontextmanager
async def open_s3(url: str, public_url: str | None, through: Callable[[Link], str]) -> AsyncIterator[S3Store]:
    address = Address.of(url)
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S)
    with ThreadPoolExecutor(THREADS, "s3") as pool:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
            yield S3Store(address, public_url, through, session, pool)


def _client(address: Address, host: str, *, tls: bool) -> Minio:
    timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=SILENCE_TIMEOUT_S)
    pool = urllib3.PoolManager(timeout=timeout, maxsize=THREADS, retries=urllib3.Retry(1, backoff_factor=0.1))
    return Minio(host, address.access, address.secret, secure=tls, region=address.region, http_client=pool)


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
        yield chunk


def _time(header: str | None) -> float:
    return parsedate_to_datetime(header).timestamp() if header else 0.0


def _condition(only: Only | None) -> Mapping[str, str]:
    if only is None:
        return {}
    return {"If-None-Match": "*"} if only.etag is None else {"If-Match": f'"{only.etag}"'}


def _refused(status: int, body: bytes) -> MeshError:
    code = CODE.search(body)
    if code is None and status in (404, 412):  # a HEAD has no body
        return _translated("NoSuchKey" if status == 404 else "PreconditionFailed", "")
    return _translated(code[1].decode() if code else f"status {status}", "")


def _translated(code: str, message: str) -> MeshError:
    if code in MISSING:
        return NotFound("the file is gone")
    if code in IN_THE_WAY:
        return Conflict("a file and a folder cannot have the same name")
    if code in ("PreconditionFailed", "ConditionalRequestConflict"):
        return Replaced("the file has just been replaced")
    return Unavailable(f"the S3 server refuses: {code} {message}".strip(), retry_after=RETRY_AFTER_S)


def _away() -> Unavailable:
    return Unavailable("the S3 server cannot be reached", retry_after=RETRY_AFTER_S)
