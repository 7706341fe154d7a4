"""What an application says of itself under `/openapi.json`: kept when it is a description, otherwise only told of."""

from __future__ import annotations

from typing import Any

import aiohttp
import orjson

MAX_BYTES = 1_000_000
MAX_DEPTH = 100
"""Of objects and lists in one another: JSON libraries on the way refuse 200."""
TIMEOUT = aiohttp.ClientTimeout(total=5.0)
IDENTITY = {"Accept-Encoding": "identity"}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Unfit(Exception):
    """Why an answer is no description."""


async def fetch(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> dict[str, Any] | None:
    """The description at `url`; None when there is none. Raises Unfit when what is there cannot be one."""
    try:
        asked = session.get(url, headers={**headers, **IDENTITY}, timeout=TIMEOUT, allow_redirects=False)
        async with asked as answer:
            if answer.status != 200:
                return None
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise Unfit(f"it is encoded as {answer.headers['Content-Encoding']!a}, though that was not asked for")
            return read(await _content(answer))
    except TimeoutError as error:
        raise Unfit(f"it did not end within {TIMEOUT.total:g} s") from error
    except aiohttp.ClientError as error:
        raise Unfit("its answer broke off") from error


async def _content(answer: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > MAX_BYTES:
            raise Unfit(f"it has more than {MAX_BYTES} bytes")
    return bytes(content)


def read(content: bytes) -> dict[str, Any]:
    """The description that `content` is. Raises Unfit."""
    try:
        found = orjson.loads(content.removeprefix(BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as error:
        raise Unfit(f"it is not JSON: {error.msg}") from error
    if not isinstance(found, dict):
        raise Unfit("it is not a JSON object")
    if deeper(found, MAX_DEPTH):
        raise Unfit(f"it is nested more than {MAX_DEPTH} deep")
    return found


def deeper(value: Any, depth: int) -> bool:
    """Whether objects and lists in `value` are nested more than `depth` deep."""
    level = [value]
    for _ in range(depth + 1):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [one for one in inner if isinstance(one, (dict, list))]
