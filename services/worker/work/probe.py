"""Asks an instance whether it is ready, again and again over one connection: with thousands of questions an hour from
each of many instances, a whole HTTP client would cost a worker most of its idle time.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress

TIMEOUT_S = 5.0
MAX_BODY_BYTES = 64 * 1024
"""Bytes of an answer that are read, so that the connection can be asked again; it is closed upon a longer one."""
NO_RESPONSE = "its health check is not answered"
MAX_REASON_CHARS = 300
"""Characters that are told of why it is not ready."""
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b")
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
CONNECTION_CLOSE = re.compile(rb"\r\nconnection:[^\r]*\bclose\b", re.IGNORECASE)
PROBE_ERRORS = (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError)


class HealthProbe:
    """Of `path` at `host`:`port`; `headers` go with every question."""

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
        """Why it was not ready the last time, in its own words where it has some; None when it was."""

    async def is_ready(self) -> bool:
        """Whether the answer is 200, within 5 s."""
        self.not_ready_reason = NO_RESPONSE
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if self._connection is not None:
                    with suppress(EOFError, ConnectionError):  # it had been closed: that says nothing of the instance
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
            None if ready else _parse_reason(body) or f"its health check is answered with {status[1].decode()}"
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
