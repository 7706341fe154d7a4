"""Bodies of requests as they come in, and files as they go out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate

from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from libs.common.errors import Malformed, RangeNotSatisfiable
from libs.common.http.problems import rendered
from libs.common.http.ranges import Plan, plan
from services.databox.digests import parse
from services.databox.store import Stat, Store
from services.databox.uploads import Uploads


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


async def resumed(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A body whose first chunk was read already."""
    yield first
    async for chunk in rest:
        yield chunk


async def put(
    uploads: Uploads, key: str, request: Request, body: AsyncIterator[bytes], limit: int | None = None
) -> Stat:
    digest = parse(request.headers.get("content-digest"))
    return await uploads.put(key, body, announced(request), digest=digest, limit=limit)


async def download(store: Store, stat: Stat, request: Request) -> Response:
    """The file, a part of it, or that the caller has it already. Raises NotFound when it has just gone."""
    wanted = plan(request.headers, stat.etag, stat.size)
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
        "X-Content-Type-Options": "nosniff",
    }
    if wanted.status != 304:
        found["Content-Length"] = str(wanted.span.length)
    if wanted.status == 206:
        found["Content-Range"] = f"bytes {wanted.span.start}-{wanted.span.end - 1}/{stat.size}"
    return found
