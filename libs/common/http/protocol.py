"""uvicorn's HTTP/1.1 with a leaner cycle for each request, limits for a request's head, and connections given away."""

from __future__ import annotations

import asyncio
import urllib.parse
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from libs.common.http.cycle import Cycle

HAND_OVER = "mlmesh.hand_over"
"""ASGI extension of a request that offers a WebSocket: its `to` takes a protocol and gives it the connection."""
ASGI: Any = {"version": "3.0", "spec_version": "2.3"}
MAX_HEAD = 64 * 1024
LOOKS = 3
"""Looks at a connection in the time for which it may be idle."""
HEAD_WITHIN_S = 30.0
"""How long a request's head may take."""
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Protocol(HttpToolsProtocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_head = False
        self._received = 0
        """Bytes since the head that is being received began."""
        self._too_large = False
        self._patience: asyncio.TimerHandle | None = self.loop.call_later(HEAD_WITHIN_S, self._too_slow)
        self._quiet = 0
        """How often in a row it was found idle."""
        self._idle_timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_patient()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._large = len(data) > MAX_HEAD
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
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {
            "type": "http",
            "asgi": ASGI,
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "root_path": "",
            "headers": self.headers,
            "state": self.app_state.copy(),
        }  # type: ignore[typeddict-item]

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._patience is not None:
            self._be_patient()
        if (self._large or self._received) and self._head_size() > MAX_HEAD:
            self._too_large = True
            raise ValueError("the head is too large")  # the parser stops: `send_400_response`
        parser, scope = self.parser, self.scope
        self._read_url(scope)
        scope["method"] = parser.get_method().decode("ascii")
        version = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
        before = self.cycle
        self.cycle = cycle = Cycle(  # type: ignore[assignment]
            scope,
            self.transport,
            self.flow,
            self.loop,
            self.server_state.default_headers,
            self.on_response_complete,
            expects_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
        )
        if parser.should_upgrade():
            cycle.keep_alive = False  # the parser stops behind this request
            if self._get_upgrade() == b"websocket":
                scope["extensions"] = {HAND_OVER: {"to": self.hand_over}}
        if before is None or before.response_complete:
            cycle.start(self.app, self.tasks)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))  # type: ignore[arg-type]

    def _head_size(self) -> int:
        return sum([len(name) + len(value) for name, value in self.headers]) + len(self.url)

    def _read_url(self, scope: Any) -> None:
        parsed = httptools.parse_url(self.url)
        scope["raw_path"] = raw = parsed.path
        path = raw.decode("ascii")
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["query_string"] = parsed.query or b""

    def _should_upgrade(self) -> bool:
        """Never by uvicorn itself."""
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """It is answered as if nothing was offered, or taken by `hand_over`."""

    def hand_over(self, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        """Gives the connection away, to be spoken on directly from now on."""
        self.cycle.disconnected = True  # as far as HTTP goes
        self.connections.discard(self)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self.transport.set_protocol(protocol)
        return self.transport

    # idle connections: one timer for each that looks again, instead of one for each request

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            waiting: Any = self.pipeline.pop()
            waiting[0].start(self.app, self.tasks)
            return
        self._quiet = 0
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive / LOOKS, self._look_if_idle)

    def _look_if_idle(self) -> None:
        self._idle_timer = None
        if self.transport.is_closing():
            return
        if self._in_head or (self.cycle is not None and not self.cycle.response_complete):
            self._quiet = 0
        self._quiet += 1
        if self._quiet > LOOKS:
            self.transport.close()
        else:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive / LOOKS, self._look_if_idle)

    # a head that is too large or too slow

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
