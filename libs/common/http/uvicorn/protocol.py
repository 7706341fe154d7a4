"""uvicorn's HTTP/1.1 with a leaner cycle for each request, limits for what callers send, and connections given away."""

from __future__ import annotations

import asyncio
import urllib.parse
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from libs.common.http.upgrade import offers_websocket, without_offer
from libs.common.http.uvicorn.replacement_parsers import BAD, NOT_HTTP, TOO_LARGE, Behind, Deaf
from libs.common.http.uvicorn.request_cycle import CONTINUE, LINGER_S, Cycle

HAND_OVER = "mlmesh.hand_over"
"""ASGI extension of a request that offers a WebSocket: its `to` takes a protocol and gives it the connection."""
ASGI: Any = {"version": "3.0", "spec_version": "2.3"}
MAX_HEAD = 64 * 1024
MAX_HEADERS = 200
MAX_FRAMING = 64 * 1024
"""Bytes of chunks' lines and trailers that a body may have, besides those that its chunks need."""
FRAMING_PER_BYTE = 16
"""What chunks of one byte need: their size, and line ends."""
LOOKS = 3
"""Looks at a connection in the time for which it may be idle."""
HEAD_WITHIN_S = 30.0
"""How long a request's head may take."""
LOOK_AFTER_S = 0.5
"""Until the first look whether a caller who sends no more is still there; twice as long until each further one."""


class Protocol(HttpToolsProtocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_head = False
        self._received = 0
        """Bytes since the head that is being received began."""
        self._too_large = False
        self._again: bytes | None = None
        """The head of a request that offers another protocol, without the offer."""
        self._patience: asyncio.TimerHandle | None = self.loop.call_later(HEAD_WITHIN_S, self._too_slow)
        self._quiet = 0
        """How often in a row it was found idle."""
        self._idle_timer: asyncio.TimerHandle | None = None
        self._ended = False
        """The caller sends no more."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_patient()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._large = len(data) > MAX_HEAD
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            rest = data[stopped.args[0] :]
            if self._again is not None:
                self._read_again(rest)
            else:
                self.parser = cast(Any, Behind(rest, self.flow))
            return
        except httptools.HttpParserError:
            self.send_400_response(NOT_HTTP)
            return
        if self._in_head:
            self._count_head(len(data))
        elif (cycle := self.cycle) is not None and cycle.more_body:
            self._count_body(cycle, len(data))

    def _count_head(self, received: int) -> None:
        """Of a head that is still to be completed."""
        self._received += received
        if self._received > MAX_HEAD:
            self._too_large = True
            self.send_400_response("")
        elif self._patience is None:
            self._patience = self.loop.call_later(HEAD_WITHIN_S, self._too_slow)

    def _count_body(self, cycle: Any, received: int) -> None:
        """Of a body that is still to be completed: what is not its bytes has a limit, too."""
        cycle.received += received
        if cycle.received > MAX_FRAMING + (FRAMING_PER_BYTE + 1) * cycle.taken:
            self.send_400_response(NOT_HTTP)

    def _read_again(self, rest: bytes) -> None:
        """The parser stops at an offer to switch protocols: what is not taken up is read as if it was not there."""
        head, self._again = self._again, None
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received((head or b"") + rest)

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
        headers = self.headers
        if len(headers) > MAX_HEADERS or ((self._large or self._received) and self._head_size() > MAX_HEAD):
            self._too_large = True
            raise ValueError("the head is too large")  # the parser stops: `send_400_response`
        parser, scope = self.parser, self.scope
        version, method = parser.get_http_version(), parser.get_method()
        if method == b"CONNECT":
            raise ValueError("this is no proxy")
        offers = parser.should_upgrade()
        if offers and not offers_websocket(method, version, headers):
            self._again = without_offer(method, self.url, version, headers)
            return
        self._read_url(scope)
        scope["method"] = method.decode("ascii")
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
        self.headers = []  # trailers are not headers
        if offers:
            cycle.keep_alive = False  # the parser stops behind this request
            scope["extensions"] = {HAND_OVER: {"to": self.hand_over}}
        if before is None or before.response_complete:
            cycle.start(self.app, self.tasks)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))  # type: ignore[arg-type]

    def on_body(self, body: bytes) -> None:
        cycle: Any = self.cycle
        cycle.take(body)
        if len(cycle.body) > HIGH_WATER_LIMIT and not cycle.response_complete:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        if self._again is not None:
            return
        cycle: Any = self.cycle
        cycle.end()

    def _head_size(self) -> int:
        return sum([len(name) + len(value) for name, value in self.headers]) + len(self.url)

    def _read_url(self, scope: Any) -> None:
        parsed = httptools.parse_url(self.url)
        scope["raw_path"] = raw = parsed.path
        path = raw.decode("ascii")
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["query_string"] = parsed.query or b""

    def hand_over(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Gives the connection away, to be spoken on directly from now on."""
        self.cycle.disconnected = True  # as far as HTTP goes
        self.connections.discard(self)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self.transport.set_protocol(protocol)
        early = self.parser.rest if isinstance(self.parser, Behind) else b""
        if early:
            self.loop.call_soon(protocol.data_received, early)
        self.flow.resume_reading()
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

    # a caller who sends no more, but may still read the answer

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it
        cycle: Any = self.cycle
        if cycle is None or cycle.more_body or cycle.response_complete:
            return False
        cycle.keep_alive = False
        if not self._ended:
            self._ended = True
            self.loop.call_later(LOOK_AFTER_S, self._look_if_there, LOOK_AFTER_S)
        return True

    def _look_if_there(self, pause: float) -> None:
        """Who closed looks the same as who only sends no more, until something is sent: then nobody takes it."""
        cycle: Any = self.cycle
        if self.transport.is_closing() or cycle.response_complete:
            return
        if not self.pipeline and cycle.begun and not cycle.wrote:
            self.transport.abort()  # it is the time between two parts of an answer: nothing can be sent to find out
            return
        if not self.pipeline and not cycle.begun and cycle.scope["http_version"] == "1.1":
            self.transport.write(CONTINUE)
        cycle.wrote = False
        self.loop.call_later(2 * pause, self._look_if_there, 2 * pause)

    # a head that is too large or too slow

    def send_400_response(self, msg: str) -> None:
        cycle: Any = self.cycle
        if cycle is not None and cycle.begun and not cycle.response_complete:
            self.transport.close()  # in the middle of an answer
            return
        if cycle is not None:
            cycle.cut()
        self.transport.write(TOO_LARGE if self._too_large else BAD % (len(msg), msg.encode()))
        self._in_head, self.parser = False, cast(Any, Deaf())
        self._be_patient()
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _be_patient(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
