"""Readiness probe of an instance over one kept-alive connection. With many instances and thousands of probes an hour,
a general HTTP client would cost a worker most of its idle time.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress

TIMEOUT_S = 5.0
MAX_BODY_BYTES = 64 * 1024
"""Bytes of a response that are read to reuse the connection; it is closed after a longer one."""
NO_RESPONSE = "no response to the health check"
MAX_REASON_CHARS = 300
"""Characters of the reason that are reported."""
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b")
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
CONNECTION_CLOSE = re.compile(rb"\r\nconnection:[^\r]*\bclose\b", re.IGNORECASE)
PROBE_ERRORS = (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError)


class HealthProbe:
    """GET `path` at `host`:`port` with `headers`."""

    def __init__(self, host: str, port: int, path: str, headers: Mapping[str, str]) -> None:
        self._host, self._port = host, port
        authority = f"[{host}]" if ":" in host else host
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {authority}:{port}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._request = "\r\n".join([*lines, "", ""]).encode()
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.not_ready_reason: str | None = None
        """Why the last probe failed: the instance's own reason, if it gave one. None: it was ready."""

    async def is_ready(self) -> bool:
        """Whether it responds with 200 within 5 s."""
        self.not_ready_reason = NO_RESPONSE
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if self._connection is not None:
                    with suppress(EOFError, ConnectionError):  # a stale connection: says nothing about the instance
                        return await self._send_request(*self._connection)
                    self.close()
                self._connection = await asyncio.open_connection(self._host, self._port)
                return await self._send_request(*self._connection)
        except PROBE_ERRORS:
            self.close()
            return False
        except asyncio.CancelledError:
            self.close()
            raise

    async def _send_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        status, length = STATUS_LINE.match(head), CONTENT_LENGTH.search(head)
        body = b""
        if length is None or CONNECTION_CLOSE.search(head) or int(length[1]) > MAX_BODY_BYTES:
            self.close()
        else:
            body = await reader.readexactly(int(length[1]))
        if status is None:
            return False
        ready = status[1] == b"200"
        self.not_ready_reason = (
            None if ready else _parse_reason(body) or f"its health check returned {status[1].decode()}"
        )
        return ready

    def close(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


def _parse_reason(body: bytes) -> str | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    reason = document.get("reason") if isinstance(document, dict) else None
    return reason[:MAX_REASON_CHARS] or None if isinstance(reason, str) else None
