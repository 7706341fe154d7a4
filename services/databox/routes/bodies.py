"""Bodies of requests as they come in, and files as they go out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate

from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from libs.common.errors import Malformed, RangeNotSatisfiable
from libs.common.http.problem import rendered
from libs.common.http.ranges import Plan, plan
from services.databox.digests import told
from services.databox.files.uploads import Judge, Uploads
from services.databox.links import disposition
from services.databox.store import Stat, Store

SHORT = 64
"""Bytes."""


async def chunks(request: Request) -> AsyncIterator[bytes]:
    """The body. Raises Malformed when the sender goes away before its end."""
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect as error:
        raise Malformed("the sender went away before the end of the body; nothing was stored") from error


def announced(request: Request) -> int | None:
    """The size of the body, when it was said beforehand."""
    given = request.headers.get("content-length", "")
    return int(given) if given.isascii() and given.isdigit() else None


async def content(request: Request) -> AsyncIterator[bytes] | None:
    """The body; None when there is none, or when it is the `{}` of a client that always sends JSON."""
    body = chunks(request)
    if _is_json(request):
        first = await _beginning(body)
        return None if b"".join(first.split()) in (b"", b"{}") else _resumed(first, body)
    if announced(request):
        return body
    first = await anext(body, b"")
    return _resumed(first, body) if first else None


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


async def _beginning(body: AsyncIterator[bytes]) -> bytes:
    """Enough to tell `{}` from anything else."""
    first = b""
    while len(first) < SHORT and (chunk := await anext(body, b"")):
        first += chunk
    return first


async def _resumed(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A body whose beginning was read already."""
    yield first
    async for chunk in rest:
        yield chunk


async def put(
    uploads: Uploads,
    key: str,
    request: Request,
    body: AsyncIterator[bytes],
    *,
    judge: Judge,
    limit: int | None = None,
) -> Stat:
    """Raises Malformed for a part of a file: only whole ones are stored."""
    if "content-range" in request.headers:
        raise Malformed("Content-Range: a file is stored as a whole; send all of it, without this header")
    digests = told(request.headers)
    return await uploads.put(key, body, announced(request), digests=digests, limit=limit, judge=judge)


def fields(request: Request) -> Mapping[str, str]:
    """The headers; what came in several lines is one list."""
    return {name: ", ".join(request.headers.getlist(name)) for name in set(request.headers)}


async def download(store: Store, stat: Stat, request: Request) -> Response:
    """The file, a part of it, or that the caller has it already. Raises NotFound when it has just gone,
    PreconditionFailed when another version is asked for."""
    wanted = plan(fields(request), stat.etag, stat.size, stat.modified)
    if wanted.status == 416:
        return rendered(RangeNotSatisfiable(), {"Content-Range": f"bytes */{stat.size}"})
    headers = described(stat, wanted)
    if request.method == "HEAD" or wanted.status == 304:
        return Response(status_code=wanted.status, headers=headers)
    opened = store.get(stat, wanted.span)
    content = await opened.__aenter__()

    async def sent() -> AsyncIterator[bytes]:
        try:
            async for chunk in content:
                yield chunk
        finally:
            await opened.__aexit__(None, None, None)

    return StreamingResponse(sent(), wanted.status, headers)


def described(stat: Stat, wanted: Plan) -> Mapping[str, str]:
    found = {
        "ETag": f'"{stat.etag}"',
        "Last-Modified": formatdate(stat.modified, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "Content-Disposition": disposition(stat.key),
        "X-Content-Type-Options": "nosniff",
    }
    if wanted.status != 304:
        found["Content-Length"] = str(wanted.span.length)
    if wanted.status == 206:
        found["Content-Range"] = f"bytes {wanted.span.start}-{wanted.span.end - 1}/{stat.size}"
    return found
