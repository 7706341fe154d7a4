"""Bodies of requests as bytes, never more than is allowed."""

from __future__ import annotations

from fastapi import Request

from libs.common.errors import TooLarge


async def read_body(request: Request, limit: int) -> bytes:
    """Raises TooLarge as soon as more than `limit` bytes are announced or have come."""
    content_length = request.headers.get("content-length", "0")
    if content_length.isascii() and content_length.isdigit() and int(content_length) > limit:
        raise TooLarge(f"the body has {content_length} bytes; at most {limit} are accepted")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"the body is larger than the {limit} bytes that are accepted")
    return bytes(body)
