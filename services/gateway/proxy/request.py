"""A request as ASGI brings it: headers, who is behind it, and the body as a stream that can be repeated at first."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from random import getrandbits
from typing import Any

from starlette.types import Receive, Scope

from libs.common.errors import Malformed, TooLarge
from libs.common.http.upgrade import tokens
from libs.common.http.uvicorn.protocol import HAND_OVER
from services.gateway.proxy.tunnel import TakeTransport
from services.gateway.proxy.upstream_connection import Headers

EMPTY: dict[str, Any] = {}
REPLAY_BYTES = 64 * 1024
"""As much of a body is kept for a second attempt."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade", b"expect"}
)  # fmt: skip
FORWARDED_HEADERS = frozenset(
    {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix", b"forwarded"}
)
CREDENTIAL_HEADERS = frozenset({b"authorization", b"x-api-key"})
INTERNAL_PREFIX = b"x-mlmesh-"
TIMEOUT_HEADER = b"x-request-timeout"
"""Seconds that the caller will wait."""


class ClientDisconnected(Exception):
    """The caller has hung up: nobody waits for an answer."""


@dataclass(slots=True)
class Request:
    method: str
    raw_path: str
    query: bytes
    headers: Headers
    """As they came."""
    peer: str
    scheme: str
    by_name: dict[bytes, bytes] = field(default_factory=dict)
    id: str = ""
    user: str = ""
    """Who calls, once that is known."""
    take_transport: TakeTransport | None = None
    """Takes the connection from HTTP; only where the caller offers a WebSocket."""

    @property
    def wants_html(self) -> bool:
        """Whether a person with a browser wants to see something."""
        return self.method in ("GET", "HEAD") and b"text/html" in self.by_name.get(b"accept", b"").lower()

    @classmethod
    def from_scope(cls, scope: Scope) -> Request:
        headers: Headers = scope["headers"]
        by_name = dict(headers)
        sent_id = by_name.get(b"x-request-id")
        identity = sent_id.decode("latin-1") if sent_id else ""
        return cls(
            method=scope["method"],
            raw_path=(scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0],
            query=scope["query_string"],
            headers=headers,
            peer=(scope.get("client") or ("", 0))[0],
            scheme=scope.get("scheme", "http"),
            by_name=by_name,
            take_transport=scope.get("extensions", EMPTY).get(HAND_OVER, EMPTY).get("to"),
            id=identity if identity and REQUEST_ID.fullmatch(identity) else f"{getrandbits(128):032x}",
        )

    @property
    def client_timeout(self) -> float:
        """Seconds that the caller will wait; infinite when that was not said, or not as a number."""
        value = self.by_name.get(TIMEOUT_HEADER)
        if value is None:
            return math.inf
        try:
            seconds = float(value)
        except ValueError:
            return math.inf
        return math.inf if math.isnan(seconds) else max(0.0, seconds)

    def set_traceparent(self, traceparent: bytes) -> None:
        """The next one is told this as its parent."""
        name = b"traceparent"
        self.headers = [*(header for header in self.headers if header[0] != name), (name, traceparent)]
        self.by_name[name] = traceparent

    def remove_header(self, name: bytes) -> None:
        """The next one is not told this."""
        self.headers = [header for header in self.headers if header[0] != name]
        del self.by_name[name]

    def build_target(self, path: str) -> bytes:
        """`path` with this request's query."""
        return path.encode("latin-1") + (b"?" + self.query if self.query else b"")

    def list_end_to_end_headers(self, *, without: frozenset[bytes] = frozenset()) -> Headers:
        """Headers for the next one: nothing of this connection, nothing that only we may say."""
        dropped = HOP_BY_HOP | FORWARDED_HEADERS | without | {b"host", b"content-length", b"x-request-id"}
        repeats = len(self.by_name) != len(self.headers)
        if repeats or self.by_name.get(b"connection", b"keep-alive") != b"keep-alive":
            dropped = dropped.union(tokens(self.headers, b"connection"))
        return [
            header for header in self.headers if header[0] not in dropped and not header[0].startswith(INTERNAL_PREFIX)
        ]


class Body:
    """The caller's bytes. The first 64 KB are kept, so that an attempt that came to nothing can be repeated."""

    __slots__ = (
        "_first_bytes",
        "_is_prefetched",
        "_limit",
        "_receive",
        "bytes_read",
        "chunked",
        "disconnected",
        "finished",
        "length",
        "replay_buffer",
    )

    def __init__(self, request: Request, receive: Receive, limit: int | None) -> None:
        self._receive = receive
        self._limit = limit
        self.length = _parse_content_length(request)
        self.chunked = b"transfer-encoding" in request.by_name
        self.bytes_read = 0
        self.replay_buffer: bytes | None = b""
        """All that was read; None when that is too much to repeat."""
        self.finished = False
        self.disconnected = False
        self._is_prefetched = False
        self._first_bytes = b""
        """What was read before it was passed on."""
        if limit is not None and (self.length or 0) > limit:
            raise TooLarge(f"a body may have {limit} bytes here", limit=limit)

    async def prefetch(self, *, until_full: bool = False) -> None:
        """Read the first piece, or as much as is kept, however often that is asked for; raises as `read` does."""
        if not self._is_prefetched:
            self._is_prefetched = True
            self._first_bytes = await self.read()
        while until_full and not self.finished and self.replay_buffer is not None:
            self._first_bytes += await self.read()

    @property
    def is_small(self) -> bool:
        """It says that all of it can be kept."""
        return not self.chunked and (self.length or 0) <= REPLAY_BYTES

    @property
    def buffered(self) -> bytes:
        """What was read: all of it, or that which was read at first when it is too much to repeat."""
        return self.replay_buffer if self.replay_buffer is not None else self._first_bytes

    @property
    def is_replayable(self) -> bool:
        return self.replay_buffer is not None and not self.disconnected

    async def read(self) -> bytes:
        """The next piece; raises TooLarge, SlowBody, and Gone when the caller hung up."""
        message: Any = await self._receive()
        if message["type"] == "http.disconnect":
            self.disconnected = True
            raise ClientDisconnected
        piece: bytes = message.get("body", b"")
        self.finished = not message.get("more_body", False)
        return self.record_piece(piece)

    def record_piece(self, piece: bytes) -> bytes:
        """The same piece, that was read. Raises TooLarge."""
        self.bytes_read += len(piece)
        if self._limit is not None and self.bytes_read > self._limit:
            raise TooLarge(f"a body may have {self._limit} bytes here", limit=self._limit)
        if self.replay_buffer is not None:
            self.replay_buffer = self.replay_buffer + piece if self.bytes_read <= REPLAY_BYTES else None
        return piece

    async def wait_for_disconnect(self) -> None:
        """Returns when the caller is gone."""
        while not self.disconnected:
            message: Any = await self._receive()
            self.disconnected = message["type"] == "http.disconnect"

    def build_framing_headers(self) -> Headers:
        """How the body's end is told; called after the first piece was read."""
        if self.length is not None:
            return [(b"content-length", str(self.length).encode())]
        if self.finished:
            return [(b"content-length", str(self.bytes_read).encode())] if self.chunked or self.bytes_read else []
        return [(b"transfer-encoding", b"chunked")]


def _parse_content_length(request: Request) -> int | None:
    value = request.by_name.get(b"content-length")
    if value is None:
        return None
    if not value.isdigit():
        raise Malformed("Content-Length is not a number")
    return int(value)
