"""Streams request bodies into the store, and files into responses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate

from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from libs.common.errors import Malformed, RangeNotSatisfiable
from libs.common.http.problem import problem_response
from libs.common.http.ranges import RangeDecision, decide_range
from services.databox.digests import parse_digests
from services.databox.files.uploads import ReplaceCheck, Uploads
from services.databox.links import content_disposition
from services.databox.store import Stat, Store

PEEK_BYTES = 64
"""Bytes."""


async def read_chunks(request: Request) -> AsyncIterator[bytes]:
    """The body. Raises Malformed if the client disconnects before its end."""
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect as error:
        raise Malformed("the client disconnected before the end of the body; nothing was stored") from error


def content_length(request: Request) -> int | None:
    """The declared size of the body, if any."""
    header = request.headers.get("content-length", "")
    return int(header) if header.isascii() and header.isdigit() else None


async def read_body(request: Request) -> AsyncIterator[bytes] | None:
    """The body; None if it is empty, or the `{}` of a client that always sends JSON."""
    body = read_chunks(request)
    if _is_json(request):
        start = await _read_start(body)
        return None if b"".join(start.split()) in (b"", b"{}") else _chain_body(start, body)
    if content_length(request):
        return body
    start = await anext(body, b"")
    return _chain_body(start, body) if start else None


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


async def _read_start(body: AsyncIterator[bytes]) -> bytes:
    """Enough bytes to recognise `{}`."""
    start = b""
    while len(start) < PEEK_BYTES and (chunk := await anext(body, b"")):
        start += chunk
    return start


async def _chain_body(start: bytes, remainder: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A body whose start has been read already."""
    yield start
    async for chunk in remainder:
        yield chunk


async def store_body(
    uploads: Uploads,
    key: str,
    request: Request,
    body: AsyncIterator[bytes],
    *,
    check_replace: ReplaceCheck,
    limit: int | None = None,
) -> Stat:
    """Raises Malformed for `Content-Range`: a partial upload is not supported."""
    if "content-range" in request.headers:
        raise Malformed("Content-Range: partial uploads are not supported; send the whole file without this header")
    digests = parse_digests(request.headers)
    return await uploads.store_file(
        key, body, content_length(request), digests=digests, limit=limit, check_replace=check_replace
    )


def join_headers(request: Request) -> Mapping[str, str]:
    """The headers; repeated ones are joined by commas."""
    return {name: ", ".join(request.headers.getlist(name)) for name in set(request.headers)}


async def send_file(store: Store, stat: Stat, request: Request) -> Response:
    """The file, a range of it, or 304. Raises NotFound if it was deleted, PreconditionFailed for another version."""
    decision = decide_range(join_headers(request), stat.etag, stat.size, stat.modified)
    if decision.status == 416:
        return problem_response(RangeNotSatisfiable(), {"Content-Range": f"bytes */{stat.size}"})
    headers = file_headers(stat, decision)
    if request.method == "HEAD" or decision.status == 304:
        return Response(status_code=decision.status, headers=headers)
    opened_file = store.get(stat, decision.span)
    content = await opened_file.__aenter__()

    async def stream_content() -> AsyncIterator[bytes]:
        try:
            async for chunk in content:
                yield chunk
        finally:
            await opened_file.__aexit__(None, None, None)

    return StreamingResponse(stream_content(), decision.status, headers)


def file_headers(stat: Stat, decision: RangeDecision) -> Mapping[str, str]:
    headers = {
        "ETag": f'"{stat.etag}"',
        "Last-Modified": formatdate(stat.modified, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "Content-Disposition": content_disposition(stat.key),
        "X-Content-Type-Options": "nosniff",
    }
    if decision.status != 304:
        headers["Content-Length"] = str(decision.span.length)
    if decision.status == 206:
        headers["Content-Range"] = f"bytes {decision.span.start}-{decision.span.end - 1}/{stat.size}"
    return headers
