"""One WebSocket between a caller and the application: frames on one side, ASGI messages on the other."""

from __future__ import annotations

from collections import deque

from ..http import websocket_frames
from ..http.connection import Connection
from ..http.framing import Request
from ..http.response import Response
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
from .exchange import ApplicationExchange
from .lifespan import Message

FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
MAX_QUEUED_MESSAGES = 64
"""Reading pauses when the application has this many messages to receive."""
PING_INTERVAL_SECONDS = 30.0
PING_TIMEOUT_SECONDS = 90.0
"""A WebSocket is closed if its peer has sent nothing, not even a pong, for this time."""


class WebSocketSession(ApplicationExchange):
    def __init__(self, request: Request, connection: Connection) -> None:
        super().__init__(request, connection)
        self._frames = FrameParser()
        self._messages: deque[Message] = deque([{"type": "websocket.connect"}])
        self._last_received = connection.owner.loop.time()
        self._disconnect: Message | None = None
        self._close_sent = False
        self.open = False
        """Accepted, and closed by neither side."""

    # -- the application's side

    async def receive(self) -> Message:
        while not self._messages and self._disconnect is None:
            await self.wait_for_change()
        if self._messages:
            message = self._messages.popleft()
            if len(self._messages) < MAX_QUEUED_MESSAGES:
                self.connection.resume_reading()
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
            await self.write(content)
        elif message_type == "websocket.close":
            self._close_by_app(int(message.get("code") or NORMAL), message.get("reason") or "")
        elif self._disconnect is None:
            raise RuntimeError(f"unexpected message {message_type} on a WebSocket")

    async def _accept_connection(self, message: Message) -> None:
        lines = [
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n",
            b"sec-websocket-accept: %b\r\n" % accept_key(self.request.headers.get(b"sec-websocket-key", b"")),
        ]
        if message.get("subprotocol"):
            lines.append(b"sec-websocket-protocol: %b\r\n" % message["subprotocol"].encode("latin-1"))
        lines += [b"%b: %b\r\n" % (bytes(name), bytes(value)) for name, value in message.get("headers") or ()]
        self.open = True
        await self.write(b"".join([*lines, b"\r\n"]))
        self._handle_messages()

    def reject_connection(self, response: Response) -> None:
        """Send an HTTP response if the WebSocket was not accepted, otherwise close it."""
        if self._disconnect is None and not self.open:
            head = response.build_head(self.connection.date_line(), b"connection: close\r\n")
            self._send_now(head + response.body)
        self._end_session(INTERNAL_ERROR, "")

    def _close_by_app(self, code: int, reason: str) -> None:
        if self._disconnect is None and not self.open:  # rejected before it was accepted
            self._send_now(FORBIDDEN)
        self._end_session(code, reason)

    # -- the caller's side

    def start(self) -> None:
        self.parser.next_body_part()  # there is none
        self.receive_data()

    def receive_data(self) -> None:
        """Parse received bytes; frames stay buffered until the application has accepted."""
        self._last_received = self.connection.owner.loop.time()
        self._frames.feed(self.parser.take_unread())
        self._handle_messages()

    def receive_eof(self) -> bool:
        return False

    def _handle_messages(self) -> None:
        try:
            while (self.open or self._close_sent) and (message := self._frames.next_message()) is not None:
                self._handle_message(message)
        except FrameError as error:
            self._end_session(error.code, str(error))

    def _handle_message(self, message: websocket_frames.WebSocketMessage) -> None:
        if message.opcode == CLOSE:
            self._end_session(message.code, message.reason)
            self.connection.close()
        elif message.opcode == PING and self.open:
            self._send_now(encode_frame(PONG, message.content))
        elif message.opcode in (TEXT, BINARY) and self.open:
            self._queue_message({"type": "websocket.receive", **_message_content(message.opcode, message.content)})

    def _queue_message(self, message: Message) -> None:
        self._messages.append(message)
        self.wake()
        if len(self._messages) >= MAX_QUEUED_MESSAGES:
            self.connection.pause_reading()

    def check_timeouts(self, now: float) -> bool:
        silence = now - self._last_received
        if silence > PING_TIMEOUT_SECONDS:
            self.connection.abort()
        elif silence > PING_INTERVAL_SECONDS and self.open:
            self._send_now(encode_frame(PING, b""))
        return True

    def start_close(self) -> None:
        """Close because the component stops."""
        self._end_session(GOING_AWAY, "the component is being stopped")

    def disconnect(self) -> None:
        super().disconnect()
        self._close_sent, self.open = True, False
        self._end_session(ABNORMAL, "")

    def _send_now(self, data: bytes) -> None:
        if not self.disconnected:
            self.connection.write(data)

    def _end_session(self, code: int, reason: str) -> None:
        """Send a close frame once, and leave the peer time to answer it."""
        if not self._close_sent:
            self._close_sent = True
            if self.open:
                self._send_now(encode_close(NORMAL if code in (NO_STATUS, ABNORMAL) else code, reason))
                self.connection.close_after_delay()
            else:
                self.connection.close()
        self.open = False
        if self._disconnect is None:
            self._disconnect = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self.wake()


def _message_content(opcode: int, content: bytes) -> Message:
    if opcode == BINARY:
        return {"bytes": content, "text": None}
    try:
        return {"text": content.decode("utf-8"), "bytes": None}
    except UnicodeDecodeError as error:
        raise FrameError(NOT_TEXT, "text messages must be UTF-8") from error
