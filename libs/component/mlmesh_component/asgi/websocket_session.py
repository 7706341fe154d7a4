"""One WebSocket between a caller and the application: frames on one side, ASGI messages on the other."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from ..http import websocket_frames
from ..http.http1 import RequestHead
from ..http.websocket_frames import (
    ABNORMAL,
    BINARY,
    CLOSE,
    GOING_AWAY,
    INTERNAL_ERROR,
    NO_STATUS,
    NORMAL,
    NOT_TEXT,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameParser,
    accept_key,
    encode_close,
    encode_frame,
)
from .lifespan import Message

FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
MAX_QUEUED_MESSAGES = 64
"""Reading pauses when the application has this many messages to receive."""


class WebSocketTransport(Protocol):
    """The part of the connection that a session needs."""

    async def write(self, data: bytes) -> None: ...

    def send_now(self, data: bytes) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """Close after pending data has been sent."""

    def close_after_delay(self) -> None:
        """Close after a moment, if the peer does not."""


class WebSocketSession:
    def __init__(self, head: RequestHead, transport: WebSocketTransport) -> None:
        self._transport = transport
        self._key = head.headers.get(b"sec-websocket-key", b"")
        self._frames = FrameParser()
        self._messages: deque[Message] = deque([{"type": "websocket.connect"}])
        self._readable = asyncio.Event()
        self._disconnect: Message | None = None
        self._close_sent = False
        self.open = False
        """Accepted, and closed by neither side."""

    # -- the application's side

    async def receive(self) -> Message:
        while not self._messages and self._disconnect is None:
            self._readable.clear()
            await self._readable.wait()
        if self._messages:
            message = self._messages.popleft()
            if len(self._messages) < MAX_QUEUED_MESSAGES:
                self._transport.resume_reading()
            return message
        assert self._disconnect is not None  # noqa: S101 - the loop's condition
        return self._disconnect

    async def send(self, message: Message) -> None:
        message_type = message["type"]
        if message_type == "websocket.accept" and not self.open and self._disconnect is None:
            await self._accept_connection(message)
        elif message_type == "websocket.send" and self.open:
            text = message.get("text")
            content = (
                encode_frame(TEXT, text.encode("utf-8")) if text is not None else encode_frame(BINARY, message["bytes"])
            )
            await self._transport.write(content)
        elif message_type == "websocket.close":
            self._close_by_app(int(message.get("code") or NORMAL), message.get("reason") or "")
        elif self._disconnect is None:
            raise RuntimeError(f"unexpected message {message_type} on a WebSocket")

    async def _accept_connection(self, message: Message) -> None:
        lines = [
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n",
            b"sec-websocket-accept: %b\r\n" % accept_key(self._key),
        ]
        if message.get("subprotocol"):
            lines.append(b"sec-websocket-protocol: %b\r\n" % message["subprotocol"].encode("latin-1"))
        lines += [b"%b: %b\r\n" % (bytes(name), bytes(value)) for name, value in message.get("headers") or ()]
        self.open = True
        await self._transport.write(b"".join([*lines, b"\r\n"]))
        self.receive_data(b"")

    def reject_connection(self, response: bytes) -> None:
        """Send an HTTP response if the WebSocket was not accepted, otherwise close it."""
        if self._disconnect is None and not self.open:
            self._transport.send_now(response)
        self._end_session(INTERNAL_ERROR, "")

    def _close_by_app(self, code: int, reason: str) -> None:
        if self._disconnect is None and not self.open:  # rejected before it was accepted
            self._transport.send_now(FORBIDDEN)
        self._end_session(code, reason)

    # -- the caller's side

    def receive_data(self, data: bytes) -> None:
        """Parse received bytes; frames stay buffered until the application has accepted."""
        self._frames.feed(data)
        try:
            while (self.open or self._close_sent) and (message := self._frames.next_message()) is not None:
                self._handle_message(message)
        except FrameError as error:
            self._end_session(error.code, str(error))

    def _handle_message(self, message: websocket_frames.WebSocketMessage) -> None:
        if message.opcode == CLOSE:
            self._end_session(message.code, message.reason)
            self._transport.close()
        elif message.opcode == PING and self.open:
            self._transport.send_now(encode_frame(PONG, message.content))
        elif message.opcode in (TEXT, BINARY) and self.open:
            self._queue_message({"type": "websocket.receive", **_message_content(message.opcode, message.content)})

    def _queue_message(self, message: Message) -> None:
        self._messages.append(message)
        self._readable.set()
        if len(self._messages) >= MAX_QUEUED_MESSAGES:
            self._transport.pause_reading()

    def send_ping(self) -> None:
        if self.open:
            self._transport.send_now(encode_frame(PING, b""))

    def start_close(self) -> None:
        """Close because the component stops."""
        self._end_session(GOING_AWAY, "the component is being stopped")

    def connection_lost(self) -> None:
        """The peer has disconnected."""
        self._close_sent, self.open = True, False
        self._end_session(ABNORMAL, "")

    def _end_session(self, code: int, reason: str) -> None:
        """Send a close frame once, and leave the peer time to answer it."""
        if not self._close_sent:
            self._close_sent = True
            if self.open:
                self._transport.send_now(encode_close(NORMAL if code in (NO_STATUS, ABNORMAL) else code, reason))
                self._transport.close_after_delay()
            else:
                self._transport.close()
        self.open = False
        if self._disconnect is None:
            self._disconnect = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._readable.set()


def _message_content(opcode: int, content: bytes) -> Message:
    if opcode == BINARY:
        return {"bytes": content, "text": None}
    try:
        return {"text": content.decode("utf-8"), "bytes": None}
    except UnicodeDecodeError as error:
        raise FrameError(NOT_TEXT, "text messages must be UTF-8") from error
