"""Reads request bodies up to a size limit."""

from __future__ import annotations

from fastapi import Request

from libs.common.errors import TooLarge


async def read_body(request: Request, limit: int) -> bytes:
    """Raises TooLarge as soon as Content-Length or the bytes received exceed `limit`."""
    content_length = request.headers.get("content-length", "0")
    if content_length.isascii() and content_length.isdigit() and int(content_length) > limit:
        raise TooLarge(f"the body has {content_length} bytes; at most {limit} are accepted")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"the body is larger than the {limit} bytes that are accepted")
    return bytes(body)
