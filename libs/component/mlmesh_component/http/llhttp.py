"""HTTP/1.1 request parser on httptools (llhttp), if that is installed: same results and errors as `http1`."""

from __future__ import annotations

import importlib
from collections import deque
from typing import Any, Callable

from .framing import (
    FRAMING_PER_BYTE,
    MAX_FRAMING_BYTES,
    Framing,
    Limits,
    ProtocolError,
    Request,
    body_too_large,
    determine_framing,
    fold_headers,
    head_too_large,
)
from .http1 import Http1Parser


def is_available() -> bool:
    try:
        importlib.import_module("httptools")
    except ImportError:
        return False
    return True


def select_parser() -> Callable[[Limits], Any]:
    """The faster parser that is available."""
    return LlhttpParser if is_available() else Http1Parser


class LlhttpParser:
    """Parses the requests of one connection while bytes arrive; queues complete ones."""

    def __init__(self, limits: Limits) -> None:
        self._httptools = importlib.import_module("httptools")
        self._limits = limits
        self._parser = self._httptools.HttpRequestParser(self)
        self._requests: deque[Request] = deque()
        self._error: ProtocolError | None = None
        self._fallback: Http1Parser | None = None
        self._pending = 0  # bytes that were fed since the last complete request
        self._reset_request()

    def _reset_request(self) -> None:
        self._started = False
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._headers: dict[bytes, bytes] = {}
        self._head_size = 0
        self._framing: Framing | None = None
        self._parts: list[bytes] = []
        self._body_size = 0

    # -- interface of the connection

    def feed(self, data: bytes) -> None:
        if self._fallback is not None:
            self._fallback.feed(data)
        elif self._error is None:
            self._parse_guarded(data)

    def _parse_guarded(self, data: bytes) -> None:
        self._pending += len(data)
        try:
            self._feed_parser(data)
        except self._httptools.HttpParserCallbackError as error:
            self._error = _protocol_error(error)
        except self._httptools.HttpParserError as error:
            self._error = ProtocolError(400, f"This is not HTTP/1.1: {error}.")
        if self._error is None and self._started:
            self._error = self._find_excess()

    def _find_excess(self) -> ProtocolError | None:
        """The error if an incomplete request has too large a head, or too much framing around its body."""
        if self._framing is None:
            return head_too_large(self._limits) if self._pending > self._limits.head else None
        allowed = self._limits.head + MAX_FRAMING_BYTES + (FRAMING_PER_BYTE + 1) * self._body_size
        return ProtocolError(400, "The chunk headers of the body are too large.") if self._pending > allowed else None

    def _feed_parser(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except self._httptools.HttpParserUpgrade as upgrade:
            self._switch_parser(data[upgrade.args[0] :])

    def _switch_parser(self, unparsed: bytes) -> None:
        """Go on with the pure Python parser: upgrades may be ignored (RFC 9110, 7.8), but llhttp stops there."""
        fields = [b"%s: %s\r\n" % field for field in self._fields]
        line = b"%s %s HTTP/%s\r\n" % (
            self._parser.get_method(),
            self._target,
            self._parser.get_http_version().encode("ascii"),
        )
        self._fallback = Http1Parser(self._limits)
        self._fallback.feed(b"".join([line, *fields, b"\r\n", unparsed]))

    @property
    def unread_bytes(self) -> int:
        fallback_bytes = self._fallback.unread_bytes if self._fallback is not None else 0
        return fallback_bytes + sum(len(request.body) + 1 for request in self._requests)

    @property
    def is_idle(self) -> bool:
        if self._fallback is not None:
            return self._fallback.is_idle and not self._requests
        return not self._requests and not self._started and self._error is None

    @property
    def expects_continue(self) -> bool:
        if self._fallback is not None:
            return self._fallback.expects_continue
        framing = self._framing
        if framing is None or not framing.expects_continue or self._body_size:
            return False
        self._framing = Framing(framing.length, framing.keep_alive, False)
        return True

    def next_request(self) -> Request | None:
        if self._requests:
            return self._requests.popleft()
        if self._error is not None:
            raise self._error
        return self._fallback.next_request() if self._fallback is not None else None

    # -- callbacks of httptools

    def on_message_begin(self) -> None:
        self._started = True

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value) + 4)
        self._fields.append((name.lower(), value.rstrip(b" \t")))

    def _count_head(self, count: int) -> None:
        self._head_size += count
        if self._head_size > self._limits.head:
            raise head_too_large(self._limits)

    def on_headers_complete(self) -> None:
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise ProtocolError(400, "This is not a request line of HTTP/1.1.")
        self._headers = fold_headers(self._fields)
        self._framing = determine_framing(self._headers, int(version[2]), self._limits)

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > self._limits.body:
            raise body_too_large(self._limits)
        self._parts.append(body)

    def on_message_complete(self) -> None:
        framing = self._framing
        if framing is None:
            raise ProtocolError(400, "A request ended before its head.")
        if self._parser.should_upgrade():
            return
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        minor = int(self._parser.get_http_version()[2])
        method = self._parser.get_method()
        self._requests.append(Request(method, self._target, minor, self._headers, framing.keep_alive, body))
        self._pending = 0
        self._reset_request()


def _protocol_error(error: BaseException) -> ProtocolError:
    cause = error.__context__ or error.__cause__
    if isinstance(cause, ProtocolError):
        return cause
    raise error
