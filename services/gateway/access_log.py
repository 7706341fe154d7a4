"""The access log: one line of JSON on standard output for each request, written in batches."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import TextIO

import orjson

from services.gateway.proxy.forwarded import TrustedProxies
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import ResponseWriter

FLUSH_S = 0.5
MAX_BUFFERED_LINES = 1000
"""Lines at which the buffer is flushed before the interval is over."""


class AccessLog:
    def __init__(self, proxies: TrustedProxies, stream: TextIO | None = None) -> None:
        self._proxies = proxies
        self._stream = stream
        self._lines: list[bytes] = []

    def record(self, request: Request, response: ResponseWriter, seconds: float) -> None:
        """Buffer one line. Status 0: the client disconnected before the response started."""
        self._lines.append(
            orjson.dumps(
                {
                    "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    "client": self._proxies.get_client_address(request),
                    "user": request.user,
                    "method": request.method,
                    "path": request.raw_path,
                    "status": response.status,
                    "bytes": response.bytes_sent,
                    "ms": round(seconds * 1000, 1),
                    "request_id": request.id,
                    "traceparent": request.by_name.get(b"traceparent", b"").decode("latin-1"),
                }
            )
        )
        if len(self._lines) >= MAX_BUFFERED_LINES:
            self.flush()

    async def run(self) -> None:
        """Flush the buffer periodically, and once more when cancelled."""
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                self.flush()
        finally:
            self.flush()

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            stream = self._stream or sys.stdout
            stream.write(b"\n".join([*lines, b""]).decode())
            stream.flush()
