"""Offers to go on in another protocol (RFC 9110, 7.8): which is of a WebSocket, and a head without the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Headers = Iterable[tuple[bytes, bytes]]


def is_websocket_upgrade(method: bytes, version: str, headers: Headers) -> bool:
    """Whether an offer is of a WebSocket; what has a body is none."""
    given = list(headers)
    body = any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in given)
    return method == b"GET" and version == "1.1" and not body and b"websocket" in list_tokens(given, b"upgrade")


def head_without_upgrade(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """A request's head as it is for who does not know the protocols that it offers."""
    given = list(headers)
    options = [token for token in list_tokens(given, b"connection") if token != b"upgrade"]
    kept = [header for header in given if header[0] not in (b"upgrade", b"connection")]
    if options:
        kept.append((b"connection", b", ".join(options)))
    lines = [b"%b: %b\r\n" % header for header in kept]
    return b"".join([b"%b %b HTTP/%b\r\n" % (method, target, version.encode()), *lines, b"\r\n"])


def list_tokens(headers: Headers, name: bytes) -> Iterator[bytes]:
    """The members of a list, in lower case; a header may be repeated."""
    for found, value in headers:
        if found == name:
            yield from filter(None, (one.strip().lower() for one in value.split(b",")))
