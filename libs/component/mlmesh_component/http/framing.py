"""Requests and where they end (RFC 9112, 6): the framing rules that both parsers share. Pure.

Refuses what two implementations could interpret differently (two lengths, a length beside chunks).
"""

from __future__ import annotations

from dataclasses import dataclass

Headers = tuple[tuple[bytes, bytes], ...]

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 200
MAX_LENGTH_DIGITS = 18
MAX_FRAMING_BYTES = 64 * 1024
"""Limit of chunk lines and trailers, beyond what chunks of one byte need."""
FRAMING_PER_BYTE = 16
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ProtocolError(Exception):
    """The peer violates HTTP/1.1; the connection has to be closed."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        self.detail = detail
        super().__init__(detail)


@dataclass(frozen=True)
class Limits:
    body: int
    head: int = MAX_HEAD_BYTES


class Request:
    """One request; `body` is empty if it is streamed. Header names are lower case, repeated ones joined with commas."""

    __slots__ = ("body", "headers", "keep_alive", "method", "minor", "target")

    def __init__(
        self, method: bytes, target: bytes, minor: int, headers: dict[bytes, bytes], keep_alive: bool, body: bytes
    ) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.headers = headers
        self.keep_alive = keep_alive
        self.body = body


@dataclass(frozen=True)
class Framing:
    """How the body ends: after `length` bytes, or with the last chunk if that is None."""

    length: int | None
    keep_alive: bool
    expects_continue: bool


SINGLE_HEADERS = frozenset((b"content-length", b"transfer-encoding", b"host"))


def fold_headers(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The fields as a dictionary; headers that determine framing or routing must not be repeated."""
    if len(fields) > MAX_HEADERS:
        raise ProtocolError(431, f"The request has more than {MAX_HEADERS} headers.")
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        if name not in headers:
            headers[name] = value
        elif name in SINGLE_HEADERS:
            raise ProtocolError(400, f"The header {name.decode('ascii')} is repeated.")
        else:
            headers[name] += b", " + value
    return headers


def determine_framing(headers: dict[bytes, bytes], minor: int, limits: Limits) -> Framing:
    """Determine where the body ends and whether the connection stays open; raises for ambiguous framing."""
    if minor == 1 and b"host" not in headers:
        raise ProtocolError(400, "The header host is missing.")
    connection = headers.get(b"connection", b"").lower()
    keep_alive = b"close" not in connection if minor == 1 else b"keep-alive" in connection
    expects_continue = minor == 1 and headers.get(b"expect", b"").lower() == b"100-continue"
    if b"transfer-encoding" in headers:
        _check_chunked(headers, minor)
        return Framing(None, keep_alive, expects_continue)
    length = _parse_content_length(headers.get(b"content-length"))
    if length > limits.body:
        raise body_too_large(limits)
    return Framing(length, keep_alive, expects_continue and length > 0)


def body_too_large(limits: Limits) -> ProtocolError:
    return ProtocolError(413, f"The body is larger than the {limits.body} bytes that are allowed.")


def head_too_large(limits: Limits) -> ProtocolError:
    return ProtocolError(431, f"The request's head is larger than {limits.head} bytes.")


def offers_websocket(method: bytes, headers: dict[bytes, bytes]) -> bool:
    """Whether the request asks for an upgrade to WebSocket (RFC 9110, 7.8; RFC 6455, 4.1)."""
    is_upgrade = b"websocket" in _split_header(headers, b"upgrade") and b"upgrade" in _split_header(
        headers, b"connection"
    )
    return is_upgrade and method == b"GET"


def _split_header(headers: dict[bytes, bytes], name: bytes) -> list[bytes]:
    return [member.strip().lower() for member in headers.get(name, b"").split(b",")]


def _check_chunked(headers: dict[bytes, bytes], minor: int) -> None:
    if b"content-length" in headers:
        raise ProtocolError(400, "The request has both content-length and transfer-encoding.")
    if minor == 0:
        raise ProtocolError(400, "HTTP/1.0 has no transfer-encoding.")
    if headers[b"transfer-encoding"].lower() != b"chunked":
        raise ProtocolError(501, "The only supported transfer-encoding is chunked.")


def _parse_content_length(value: bytes | None) -> int:
    if value is None:
        return 0
    if not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
        raise ProtocolError(400, "The content-length is not a number.")
    return int(value)
