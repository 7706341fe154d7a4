"""uvicorn's HTTP/1.1 with limits for a request's head, and with one write for a response's head and its first bytes."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HAND_OVER = "mlmesh.hand_over"
"""ASGI extension of a request that offers a WebSocket: its `to` takes a protocol and gives it the connection."""
MAX_HEAD = 64 * 1024
HEAD_WITHIN_S = 30.0
"""How long a request's head may take."""
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
SMALL = 16 * 1024
"""What is larger is not worth a copy."""


class Corked:
    """A transport that joins a write with the next one of the same step."""

    __slots__ = ("_head", "_soon", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._soon = loop.call_soon
        self._head = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if len(data) > SMALL:
            self._flush()
            self._transport.write(data)
        elif self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        else:
            self._head = data
            self._soon(self._flush)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def detach(self) -> asyncio.Transport:
        """The transport itself."""
        self._flush()
        return self._transport

    def _flush(self) -> None:
        if self._head and not self._transport.is_closing():
            self._transport.write(self._head)
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Corked(transport, self.loop)))
        self._in_head = False
        self._received = 0
        """Bytes since the head that is being received began."""
        self._too_large = False
        self._patience: asyncio.TimerHandle | None = self.loop.call_later(HEAD_WITHIN_S, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_patient()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._received += len(data)
            if self._received > MAX_HEAD:
                self._too_large = True
                self.send_400_response("")
            elif self._patience is None:
                self._patience = self.loop.call_later(HEAD_WITHIN_S, self._too_slow)

    def on_message_begin(self) -> None:
        self._in_head, self._received = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._be_patient()
        if sum([len(name) + len(value) for name, value in self.headers]) + len(self.url) > MAX_HEAD:
            self._too_large = True
            raise ValueError("the head is too large")  # the parser stops: `send_400_response`
        super().on_headers_complete()

        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # the parser stops behind this request
            if self._get_upgrade() == b"websocket":
                self.scope["extensions"] = {HAND_OVER: {"to": self.hand_over}}

    def hand_over(self, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        """Gives the connection away, to be spoken on directly from now on."""
        self.cycle.disconnected = True  # as far as HTTP goes
        self.connections.discard(self)
        transport: asyncio.Transport = self.transport.detach()  # type: ignore[attr-defined]
        transport.set_protocol(protocol)
        return transport

    def _unsupported_upgrade_warning(self) -> None:
        """It is answered as if nothing was offered, or taken by `hand_over`."""

    def send_400_response(self, msg: str) -> None:
        if self._too_large:
            self.transport.write(TOO_LARGE)
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _be_patient(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
