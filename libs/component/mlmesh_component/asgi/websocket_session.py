"""One WebSocket between a caller and the application."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from ..http import websocket_frames
from ..http.http1 import Head
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
    Frames,
    accept_key,
    closing,
    frame,
)
from .lifespan import Message

FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
MAX_WAITING = 64
"""Messages that the application has not taken yet, at which no more are read."""


class Wire(Protocol):
    """The connection, as a session sees it."""

    async def write(self, data: bytes) -> None: ...

    def send_now(self, data: bytes) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        """After what is written has gone out."""

    def linger(self) -> None:
        """Close soon, whatever comes."""


class Session:
    def __init__(self, head: Head, wire: Wire) -> None:
        self._wire = wire
        self._key = head.headers.get(b"sec-websocket-key", b"")
        self._frames = Frames()
        self._waiting: deque[Message] = deque([{"type": "websocket.connect"}])
        self._news = asyncio.Event()
        self._ended: Message | None = None
        self._said_close = False
        self.open = False
        """Accepted, and neither side has closed it."""

    # -- the application's side

    async def receive(self) -> Message:
        while not self._waiting and self._ended is None:
            self._news.clear()
            await self._news.wait()
        if self._waiting:
            message = self._waiting.popleft()
            if len(self._waiting) < MAX_WAITING:
                self._wire.resume()
            return message
        assert self._ended is not None  # noqa: S101 - the loop's condition
        return self._ended

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept" and not self.open and self._ended is None:
            await self._accept(message)
        elif kind == "websocket.send" and self.open:
            text = message.get("text")
            content = frame(TEXT, text.encode("utf-8")) if text is not None else frame(BINARY, message["bytes"])
            await self._wire.write(content)
        elif kind == "websocket.close":
            self._close(int(message.get("code") or NORMAL), message.get("reason") or "")
        elif self._ended is None:
            raise RuntimeError(f"{kind} is not what comes next on a WebSocket")

    async def _accept(self, message: Message) -> None:
        lines = [
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n",
            b"sec-websocket-accept: %b\r\n" % accept_key(self._key),
        ]
        if message.get("subprotocol"):
            lines.append(b"sec-websocket-protocol: %b\r\n" % message["subprotocol"].encode("latin-1"))
        lines += [b"%b: %b\r\n" % (bytes(name), bytes(value)) for name, value in message.get("headers") or ()]
        self.open = True
        await self._wire.write(b"".join([*lines, b"\r\n"]))
        self.arrived(b"")

    def refuse(self, response: bytes) -> None:
        """Answer in HTTP if it was not accepted, else close."""
        if self._ended is None and not self.open:
            self._wire.send_now(response)
        self._end(INTERNAL_ERROR, "")

    def _close(self, code: int, reason: str) -> None:
        if self._ended is None and not self.open:  # refused before it was accepted
            self._wire.send_now(FORBIDDEN)
        self._end(code, reason)

    # -- the caller's side

    def arrived(self, data: bytes) -> None:
        """Before it is accepted nothing is read of it."""
        self._frames.feed(data)
        try:
            while (self.open or self._said_close) and (message := self._frames.take()) is not None:
                self._take(message)
        except FrameError as error:
            self._end(error.code, str(error))

    def _take(self, message: websocket_frames.Message) -> None:
        if message.kind == CLOSE:
            self._end(message.code, message.reason)
            self._wire.close()
        elif message.kind == PING and self.open:
            self._wire.send_now(frame(PONG, message.content))
        elif message.kind in (TEXT, BINARY) and self.open:
            self._put({"type": "websocket.receive", **_content(message.kind, message.content)})

    def _put(self, message: Message) -> None:
        self._waiting.append(message)
        self._news.set()
        if len(self._waiting) >= MAX_WAITING:
            self._wire.pause()

    def ping(self) -> None:
        if self.open:
            self._wire.send_now(frame(PING, b""))

    def go_away(self) -> None:
        """The component stops."""
        self._end(GOING_AWAY, "the component is being stopped")

    def lost(self) -> None:
        """The connection is gone."""
        self._said_close, self.open = True, False
        self._end(ABNORMAL, "")

    def _end(self, code: int, reason: str) -> None:
        """Say so, once; the peer may answer that before the connection is closed."""
        if not self._said_close:
            self._said_close = True
            if self.open:
                self._wire.send_now(closing(NORMAL if code in (NO_STATUS, ABNORMAL) else code, reason))
                self._wire.linger()
            else:
                self._wire.close()
        self.open = False
        if self._ended is None:
            self._ended = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._news.set()


def _content(kind: int, content: bytes) -> Message:
    if kind == BINARY:
        return {"bytes": content, "text": None}
    try:
        return {"text": content.decode("utf-8"), "bytes": None}
    except UnicodeDecodeError as error:
        raise FrameError(NOT_TEXT, "a text message is UTF-8") from error
