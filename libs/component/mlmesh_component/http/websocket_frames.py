"""WebSocket frames (RFC 6455) of a server: parses bytes to messages, and encodes frames. Performs no I/O."""

from __future__ import annotations

import base64
import hashlib
import struct
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL, GOING_AWAY, PROTOCOL_ERROR, NO_STATUS, ABNORMAL = 1000, 1001, 1002, 1005, 1006
NOT_TEXT, TOO_BIG, INTERNAL_ERROR = 1007, 1009, 1011
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_CONTROL_BYTES = 125
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class FrameError(Exception):
    """The peer violates the protocol; the connection is closed with `code`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class WebSocketMessage:
    """A complete message: TEXT, BINARY, CLOSE, PING or PONG."""

    opcode: int
    content: bytes

    @property
    def code(self) -> int:
        """The status code of a CLOSE."""
        return int.from_bytes(self.content[:2], "big") if len(self.content) >= 2 else NO_STATUS

    @property
    def reason(self) -> str:
        return self.content[2:].decode("utf-8", "replace")


def accept_key(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - demanded by the protocol


def encode_frame(opcode: int, content: bytes) -> bytes:
    size = len(content)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + content


def encode_close(code: int, reason: str = "") -> bytes:
    return encode_frame(CLOSE, struct.pack("!H", code) + reason.encode("utf-8")[: MAX_CONTROL_BYTES - 2])


class FrameParser:
    """Parses the frames of a client."""

    def __init__(self) -> None:
        self._buffer = b""
        self._opcode = CONTINUATION
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next_message(self) -> WebSocketMessage | None:
        """The next complete message; raises `FrameError`."""
        while (frame := self._parse_frame()) is not None:
            final, opcode, content = frame
            if opcode >= CLOSE:
                return WebSocketMessage(opcode, content)
            message = self._add_fragment(final, opcode, content)
            if message is not None:
                return message
        return None

    def _parse_frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        final, opcode, size = bool(buffer[0] & 0x80), buffer[0] & 0x0F, buffer[1] & 0x7F
        self._check_header(buffer, final, opcode, size)
        position = 2
        if size >= 126:
            width = 2 if size == 126 else 8
            position += width
            if len(buffer) < position:
                return None
            size = int.from_bytes(buffer[2:position], "big")
        if size + self._size > MAX_MESSAGE_BYTES:
            raise FrameError(TOO_BIG, f"message exceeds {MAX_MESSAGE_BYTES} bytes")
        if len(buffer) < position + 4 + size:
            return None
        mask, content = buffer[position : position + 4], buffer[position + 4 : position + 4 + size]
        self._buffer = buffer[position + 4 + size :]
        return final, opcode, _unmask(content, mask)

    def _check_header(self, buffer: bytes, final: bool, opcode: int, size: int) -> None:
        if buffer[0] & 0x70:
            raise FrameError(PROTOCOL_ERROR, "no extension was negotiated")
        if not buffer[1] & 0x80:
            raise FrameError(PROTOCOL_ERROR, "client frames must be masked")
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise FrameError(PROTOCOL_ERROR, f"unknown opcode {opcode}")
        if opcode >= CLOSE and (not final or size > MAX_CONTROL_BYTES):
            raise FrameError(PROTOCOL_ERROR, "control frames must be short and unfragmented")

    def _add_fragment(self, final: bool, opcode: int, content: bytes) -> WebSocketMessage | None:
        if (opcode == CONTINUATION) != bool(self._opcode):
            raise FrameError(PROTOCOL_ERROR, "a message's frames are out of order")
        self._opcode = opcode or self._opcode
        self._parts.append(content)
        self._size += len(content)
        if not final:
            return None
        message = WebSocketMessage(self._opcode, b"".join(self._parts))
        self._opcode, self._parts, self._size = CONTINUATION, [], 0
        return message


def _unmask(content: bytes, mask: bytes) -> bytes:
    size = len(content)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(content, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")
