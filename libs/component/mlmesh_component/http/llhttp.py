"""The parser of `http1`, on httptools (llhttp) where that is installed: same requests, same refusals."""

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
    fold,
    framing,
    head_too_large,
    too_large,
)
from .http1 import Parser


def available() -> bool:
    try:
        importlib.import_module("httptools")
    except ImportError:
        return False
    return True


def fastest() -> Callable[[Limits], Any]:
    """The parser to use here."""
    return LlhttpParser if available() else Parser


class LlhttpParser:
    """The requests of one connection, parsed as the bytes come; complete ones wait in order."""

    def __init__(self, limits: Limits) -> None:
        self._tools = importlib.import_module("httptools")
        self._limits = limits
        self._parser = self._tools.HttpRequestParser(self)
        self._complete: deque[Request] = deque()
        self._error: ProtocolError | None = None
        self._successor: Parser | None = None
        self._pending = 0  # bytes fed since the last complete request
        self._begin()

    def _begin(self) -> None:
        self._begun = False
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._headers: dict[bytes, bytes] = {}
        self._head_size = 0
        self._framing: Framing | None = None
        self._parts: list[bytes] = []
        self._size = 0

    # -- what the connection asks

    def feed(self, data: bytes) -> None:
        if self._successor is not None:
            self._successor.feed(data)
        elif self._error is None:
            self._read(data)

    def _read(self, data: bytes) -> None:
        self._pending += len(data)
        try:
            self._parse(data)
        except self._tools.HttpParserCallbackError as error:
            self._error = _refusal(error)
        except self._tools.HttpParserError as error:
            self._error = ProtocolError(400, f"This is not HTTP/1.1: {error}.")
        if self._error is None and self._begun:
            self._error = self._too_much()

    def _too_much(self) -> ProtocolError | None:
        """Of what has been fed of a request that is not complete, not all may be its body."""
        if self._framing is None:
            return head_too_large(self._limits) if self._pending > self._limits.head else None
        allowed = self._limits.head + MAX_FRAMING_BYTES + (FRAMING_PER_BYTE + 1) * self._size
        return (
            ProtocolError(400, "The chunks of the body have too much around them.") if self._pending > allowed else None
        )

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except self._tools.HttpParserUpgrade as upgrade:
            self._hand_over(data[upgrade.args[0] :])

    def _hand_over(self, rest: bytes) -> None:
        """An offer to upgrade may be ignored (RFC 9110, 7.8), but llhttp stops at it: the other parser goes on."""
        fields = [b"%s: %s\r\n" % field for field in self._fields]
        line = b"%s %s HTTP/%s\r\n" % (
            self._parser.get_method(),
            self._target,
            self._parser.get_http_version().encode("ascii"),
        )
        self._successor = Parser(self._limits)
        self._successor.feed(b"".join([line, *fields, b"\r\n", rest]))

    @property
    def buffered(self) -> int:
        later = self._successor.buffered if self._successor is not None else 0
        return later + sum(len(request.body) + 1 for request in self._complete)

    @property
    def idle(self) -> bool:
        if self._successor is not None:
            return self._successor.idle and not self._complete
        return not self._complete and not self._begun and self._error is None

    @property
    def expects_continue(self) -> bool:
        if self._successor is not None:
            return self._successor.expects_continue
        plan = self._framing
        if plan is None or not plan.expects_continue or self._size:
            return False
        self._framing = Framing(plan.length, plan.keep_alive, False)
        return True

    def take(self) -> Request | None:
        if self._complete:
            return self._complete.popleft()
        if self._error is not None:
            raise self._error
        return self._successor.take() if self._successor is not None else None

    # -- what httptools calls

    def on_message_begin(self) -> None:
        self._begun = True

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._grow(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._grow(len(name) + len(value) + 4)
        self._fields.append((name.lower(), value.rstrip(b" \t")))

    def _grow(self, count: int) -> None:
        self._head_size += count
        if self._head_size > self._limits.head:
            raise head_too_large(self._limits)

    def on_headers_complete(self) -> None:
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise ProtocolError(400, "This is not a request line of HTTP/1.1.")
        self._headers = fold(self._fields)
        self._framing = framing(self._headers, int(version[2]), self._limits)

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > self._limits.body:
            raise too_large(self._limits)
        self._parts.append(body)

    def on_message_complete(self) -> None:
        plan = self._framing
        if plan is None:
            raise ProtocolError(400, "A request ended before its head.")
        if self._parser.should_upgrade():
            return
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        minor = int(self._parser.get_http_version()[2])
        method = self._parser.get_method()
        self._complete.append(Request(method, self._target, minor, self._headers, plan.keep_alive, body))
        self._pending = 0
        self._begin()


def _refusal(error: BaseException) -> ProtocolError:
    cause = error.__context__ or error.__cause__
    if isinstance(cause, ProtocolError):
        return cause
    raise error
