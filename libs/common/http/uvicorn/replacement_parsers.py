"""Stand-ins for the HTTP parser of a connection that no longer receives requests, and the last responses on it."""

from __future__ import annotations

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl

BAD_REQUEST_MESSAGE = "Invalid HTTP request."
HEAD_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b"
)


class DiscardingParser:
    """Discards everything after a rejected request."""

    def feed_data(self, data: bytes) -> None:
        """Discards `data`."""


class BufferingParser:
    """Buffers data after a WebSocket handshake until the tunnel takes the connection."""

    def __init__(self, buffer: bytes, flow: FlowControl) -> None:
        self.buffer = buffer
        self._flow = flow

    def feed_data(self, data: bytes) -> None:
        self.buffer += data
        if len(self.buffer) > HIGH_WATER_LIMIT:
            self._flow.pause_reading()
