"""Bodies of requests as bytes, never more than is allowed."""

from __future__ import annotations

from fastapi import Request

from libs.common.errors import TooLarge


async def read_body(request: Request, limit: int) -> bytes:
    """Raises TooLarge as soon as more than `limit` bytes are announced or have come."""
    announced = request.headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced) > limit:
        raise TooLarge(f"the body has {announced} bytes; at most {limit} are accepted")
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > limit:
            raise TooLarge(f"the body is larger than the {limit} bytes that are accepted")
    return bytes(found)
