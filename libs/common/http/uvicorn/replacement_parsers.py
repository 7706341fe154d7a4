"""What stands in the parser's place on a connection that HTTP has come to its end on, and what was said last."""

from __future__ import annotations

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl

BAD_REQUEST_MESSAGE = "This cannot be read as an HTTP request."
HEAD_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b"
)


class DiscardingParser:
    """In the parser's place behind a request that was refused: what still comes is dropped."""

    def feed_data(self, data: bytes) -> None:
        """Nobody listens."""


class BufferingParser:
    """In the parser's place behind an offer of a WebSocket: what comes before the answer is for who takes it up."""

    def __init__(self, buffer: bytes, flow: FlowControl) -> None:
        self.buffer = buffer
        self._flow = flow

    def feed_data(self, data: bytes) -> None:
        self.buffer += data
        if len(self.buffer) > HIGH_WATER_LIMIT:
            self._flow.pause_reading()
