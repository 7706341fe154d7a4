"""Upgrade requests (RFC 9110, 7.8): detects WebSockets, and removes other upgrades from a request head. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Headers = Iterable[tuple[bytes, bytes]]


def is_websocket_upgrade(method: bytes, version: str, headers: Headers) -> bool:
    """Whether the request upgrades to a WebSocket; a request with a body does not."""
    pairs = list(headers)
    body = any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in pairs)
    return method == b"GET" and version == "1.1" and not body and b"websocket" in list_tokens(pairs, b"upgrade")


def head_without_upgrade(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """The request head without its upgrade, for a server that does not support the protocol."""
    pairs = list(headers)
    options = [token for token in list_tokens(pairs, b"connection") if token != b"upgrade"]
    remaining = [header for header in pairs if header[0] not in (b"upgrade", b"connection")]
    if options:
        remaining.append((b"connection", b", ".join(options)))
    lines = [b"%b: %b\r\n" % header for header in remaining]
    return b"".join([b"%b %b HTTP/%b\r\n" % (method, target, version.encode()), *lines, b"\r\n"])


def list_tokens(headers: Headers, name: bytes) -> Iterator[bytes]:
    """The members of a list header, in lower case; the header may be repeated."""
    for header, value in headers:
        if header == name:
            yield from filter(None, (token.strip().lower() for token in value.split(b",")))
