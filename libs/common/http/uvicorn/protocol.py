"""uvicorn's HTTP/1.1 protocol with a leaner request cycle, limits of what clients send, and detachable transports."""

from __future__ import annotations

import asyncio
import urllib.parse
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from libs.common.http.upgrade import head_without_upgrade, is_websocket_upgrade
from libs.common.http.uvicorn.replacement_parsers import (
    BAD_REQUEST,
    BAD_REQUEST_MESSAGE,
    HEAD_TOO_LARGE,
    BufferingParser,
    DiscardingParser,
)
from libs.common.http.uvicorn.request_cycle import CONTINUE, LINGER_S, RequestResponseCycle

DETACH_TRANSPORT = "mlmesh.hand_over"
"""ASGI extension of a WebSocket handshake: its `to` passes the connection to another asyncio protocol."""
ASGI_VERSION: Any = {"version": "3.0", "spec_version": "2.3"}
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 200
MAX_FRAMING_BYTES = 64 * 1024
"""Bytes of chunk lines and trailers of a body, beyond what its chunks need."""
FRAMING_PER_BYTE = 16
"""Framing of a chunk of one byte: size and line ends."""
IDLE_CHECKS = 3
"""Checks of an idle connection within the keep-alive timeout."""
HEAD_TIMEOUT_S = 30.0
"""Timeout for a complete request head."""
CLIENT_CHECK_AFTER_S = 0.5
"""Delay of the first check whether a half-closed client is still connected; doubles for each further check."""


class HttpProtocol(HttpToolsProtocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_head = False
        self._head_bytes = 0
        """Received bytes of the current head."""
        self._head_too_large = False
        self._head_without_upgrade: bytes | None = None
        """The head of an upgrade request that is not supported, without the upgrade."""
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(HEAD_TIMEOUT_S, self._on_head_timeout)
        self._idle_checks = 0
        """Consecutive checks that found the connection idle."""
        self._idle_timer: asyncio.TimerHandle | None = None
        self._half_closed = False
        """The client has closed its sending side."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_head_timer()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._read_is_large = len(data) > MAX_HEAD_BYTES
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            remaining = data[upgrade.args[0] :]
            if self._head_without_upgrade is not None:
                self._reparse_without_upgrade(remaining)
            else:
                self.parser = cast(Any, BufferingParser(remaining, self.flow))
            return
        except httptools.HttpParserError:
            self.send_400_response(BAD_REQUEST_MESSAGE)
            return
        if self._in_head:
            self._count_head(len(data))
        elif (cycle := self.cycle) is not None and cycle.more_body:
            self._count_body(cycle, len(data))

    def _count_head(self, received: int) -> None:
        """Limits an incomplete head."""
        self._head_bytes += received
        if self._head_bytes > MAX_HEAD_BYTES:
            self._head_too_large = True
            self.send_400_response("")
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._on_head_timeout)

    def _count_body(self, cycle: Any, received: int) -> None:
        """Limits the framing of an incomplete body."""
        cycle.framed_size += received
        if cycle.framed_size > MAX_FRAMING_BYTES + (FRAMING_PER_BYTE + 1) * cycle.body_size:
            self.send_400_response(BAD_REQUEST_MESSAGE)

    def _reparse_without_upgrade(self, remaining: bytes) -> None:
        """The parser stops at an upgrade: an unsupported one is removed, and the request parsed again."""
        head, self._head_without_upgrade = self._head_without_upgrade, None
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received((head or b"") + remaining)

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {
            "type": "http",
            "asgi": ASGI_VERSION,
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
        if self._head_timer is not None:
            self._cancel_head_timer()
        headers = self.headers
        if len(headers) > MAX_HEADERS or (
            (self._read_is_large or self._head_bytes) and self._head_size() > MAX_HEAD_BYTES
        ):
            self._head_too_large = True
            raise ValueError("the head is too large")  # stops the parser: `send_400_response`
        parser, scope = self.parser, self.scope
        version, method = parser.get_http_version(), parser.get_method()
        if method == b"CONNECT":
            raise ValueError("CONNECT is not supported")
        offers = parser.should_upgrade()
        if offers and not is_websocket_upgrade(method, version, headers):
            self._head_without_upgrade = head_without_upgrade(method, self.url, version, headers)
            return
        self._parse_url(scope)
        scope["method"] = method.decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        previous = self.cycle
        self.cycle = cycle = RequestResponseCycle(  # type: ignore[assignment]
            scope,
            self.transport,
            self.flow,
            self.loop,
            self.server_state.default_headers,
            self.on_response_complete,
            expects_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
        )
        self.headers = []  # trailers are not headers
        if offers:
            cycle.keep_alive = False  # the parser stops after this request
            scope["extensions"] = {DETACH_TRANSPORT: {"to": self.detach_transport}}
        if previous is None or previous.response_complete:
            cycle.start(self.app, self.tasks)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))  # type: ignore[arg-type]

    def on_body(self, body: bytes) -> None:
        cycle: Any = self.cycle
        cycle.receive_body(body)
        if len(cycle.body) > HIGH_WATER_LIMIT and not cycle.response_complete:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        if self._head_without_upgrade is not None:
            return
        cycle: Any = self.cycle
        cycle.end_body()

    def _head_size(self) -> int:
        return sum([len(name) + len(value) for name, value in self.headers]) + len(self.url)

    def _parse_url(self, scope: Any) -> None:
        parsed = httptools.parse_url(self.url)
        scope["raw_path"] = raw = parsed.path
        path = raw.decode("ascii")
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["query_string"] = parsed.query or b""

    def detach_transport(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Passes the connection to `protocol`; HTTP ends on it."""
        self.cycle.disconnected = True
        self.connections.discard(self)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self.transport.set_protocol(protocol)
        early = self.parser.buffer if isinstance(self.parser, BufferingParser) else b""
        if early:
            self.loop.call_soon(protocol.data_received, early)
        self.flow.resume_reading()
        return self.transport

    # idle connections: one repeated timer per connection instead of one per request

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            waiting: Any = self.pipeline.pop()
            waiting[0].start(self.app, self.tasks)
            return
        self._idle_checks = 0
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive / IDLE_CHECKS, self._check_idle)

    def _check_idle(self) -> None:
        self._idle_timer = None
        if self.transport.is_closing():
            return
        if self._in_head or (self.cycle is not None and not self.cycle.response_complete):
            self._idle_checks = 0
        self._idle_checks += 1
        if self._idle_checks > IDLE_CHECKS:
            self.transport.close()
        else:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive / IDLE_CHECKS, self._check_idle)

    # half-closed clients may still read the response

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it
        cycle: Any = self.cycle
        if cycle is None or cycle.more_body or cycle.response_complete:
            return False
        cycle.keep_alive = False
        if not self._half_closed:
            self._half_closed = True
            self.loop.call_later(CLIENT_CHECK_AFTER_S, self._check_client, CLIENT_CHECK_AFTER_S)
        return True

    def _check_client(self, delay: float) -> None:
        """Distinguishes a closed connection from a half-closed one, which only a write can do."""
        cycle: Any = self.cycle
        if self.transport.is_closing() or cycle.response_complete:
            return
        if not self.pipeline and cycle.response_started and not cycle.has_written:
            self.transport.abort()  # between two parts of a response nothing can be written to probe the client
            return
        if not self.pipeline and not cycle.response_started and cycle.scope["http_version"] == "1.1":
            self.transport.write(CONTINUE)
        cycle.has_written = False
        self.loop.call_later(2 * delay, self._check_client, 2 * delay)

    # heads that are too large or too slow

    def send_400_response(self, msg: str) -> None:
        cycle: Any = self.cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.close()  # in the middle of a response
            return
        if cycle is not None:
            cycle.disconnect()
        self.transport.write(HEAD_TOO_LARGE if self._head_too_large else BAD_REQUEST % (len(msg), msg.encode()))
        self._in_head, self.parser = False, cast(Any, DiscardingParser())
        self._cancel_head_timer()
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _on_head_timeout(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
