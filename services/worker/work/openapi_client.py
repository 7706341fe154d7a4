"""Fetches the `/openapi.json` of a web application and checks that it can be stored."""

from __future__ import annotations

import aiohttp
import orjson

MAX_BYTES = 1_000_000
MAX_DEPTH = 100
"""Nesting of objects and lists: JSON libraries downstream reject 200."""
TIMEOUT = aiohttp.ClientTimeout(total=5.0)
NO_COMPRESSION = {"Accept-Encoding": "identity"}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class InvalidOpenapi(Exception):
    """Why a response is not a usable OpenAPI document."""


async def fetch_openapi(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> dict[str, object] | None:
    """Return the document at `url`; None if there is none. Raises InvalidOpenapi."""
    try:
        request = session.get(url, headers={**headers, **NO_COMPRESSION}, timeout=TIMEOUT, allow_redirects=False)
        async with request as response:
            if response.status != 200:
                return None
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise InvalidOpenapi(
                    f"it is encoded as {response.headers['Content-Encoding']!a}, although that was not accepted"
                )
            return parse_openapi(await _read_body(response))
    except TimeoutError as error:
        raise InvalidOpenapi(f"not complete within {TIMEOUT.total:g} s") from error
    except aiohttp.ClientError as error:
        raise InvalidOpenapi("the response ended early") from error


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > MAX_BYTES:
            raise InvalidOpenapi(f"larger than {MAX_BYTES} bytes")
    return bytes(content)


def parse_openapi(content: bytes) -> dict[str, object]:
    """Parse and check a document. Raises InvalidOpenapi."""
    try:
        document = orjson.loads(content.removeprefix(BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as error:
        raise InvalidOpenapi(f"not JSON: {error.msg}") from error
    if not isinstance(document, dict):
        raise InvalidOpenapi("not a JSON object")
    if is_nested_deeper(document, MAX_DEPTH):
        raise InvalidOpenapi(f"nested more than {MAX_DEPTH} levels deep")
    return document


def is_nested_deeper(value: object, depth: int) -> bool:
    """Whether objects and lists in `value` are nested more than `depth` deep."""
    level = [value]
    for _ in range(depth + 1):
        level = [child for container in level for child in _nested_containers(container)]
        if not level:
            return False
    return True


def _nested_containers(value: object) -> list[object]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, (dict, list))]
