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
from services.gateway.proxy.tunnel import HandOver
from services.gateway.proxy.upstream_connection import Headers

NONE: dict[str, Any] = {}
KEPT = 64 * 1024
"""As much of a body is kept for a second attempt."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade", b"expect"}
)  # fmt: skip
FORWARDED = frozenset(
    {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix", b"forwarded"}
)
CREDENTIALS = frozenset({b"authorization", b"x-api-key"})
OURS = b"x-mlmesh-"
TIMEOUT = b"x-request-timeout"
"""Seconds that the caller will wait."""


class Gone(Exception):
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
    hand_over: HandOver | None = None
    """Takes the connection from HTTP; only where the caller offers a WebSocket."""

    @property
    def visits(self) -> bool:
        """Whether a person with a browser wants to see something."""
        return self.method in ("GET", "HEAD") and b"text/html" in self.by_name.get(b"accept", b"").lower()

    @classmethod
    def of(cls, scope: Scope) -> Request:
        headers: Headers = scope["headers"]
        by_name = dict(headers)
        given = by_name.get(b"x-request-id")
        identity = given.decode("latin-1") if given else ""
        return cls(
            method=scope["method"],
            raw_path=(scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0],
            query=scope["query_string"],
            headers=headers,
            peer=(scope.get("client") or ("", 0))[0],
            scheme=scope.get("scheme", "http"),
            by_name=by_name,
            hand_over=scope.get("extensions", NONE).get(HAND_OVER, NONE).get("to"),
            id=identity if identity and REQUEST_ID.fullmatch(identity) else f"{getrandbits(128):032x}",
        )

    @property
    def patience(self) -> float:
        """Seconds that the caller will wait; infinite when that was not said, or not as a number."""
        given = self.by_name.get(TIMEOUT)
        if given is None:
            return math.inf
        try:
            seconds = float(given)
        except ValueError:
            return math.inf
        return math.inf if math.isnan(seconds) else max(0.0, seconds)

    def continue_trace(self, traceparent: bytes) -> None:
        """The next one is told this as its parent."""
        name = b"traceparent"
        self.headers = [*(header for header in self.headers if header[0] != name), (name, traceparent)]
        self.by_name[name] = traceparent

    def drop(self, name: bytes) -> None:
        """The next one is not told this."""
        self.headers = [header for header in self.headers if header[0] != name]
        del self.by_name[name]

    def target(self, path: str) -> bytes:
        """`path` with this request's query."""
        return path.encode("latin-1") + (b"?" + self.query if self.query else b"")

    def passed_on(self, *, without: frozenset[bytes] = frozenset()) -> Headers:
        """Headers for the next one: nothing of this connection, nothing that only we may say."""
        dropped = HOP_BY_HOP | FORWARDED | without | {b"host", b"content-length", b"x-request-id"}
        repeats = len(self.by_name) != len(self.headers)
        if repeats or self.by_name.get(b"connection", b"keep-alive") != b"keep-alive":
            dropped = dropped.union(tokens(self.headers, b"connection"))
        return [header for header in self.headers if header[0] not in dropped and not header[0].startswith(OURS)]


class Body:
    """The caller's bytes. The first 64 KB are kept, so that an attempt that came to nothing can be repeated."""

    __slots__ = ("_begun", "_early", "_limit", "_receive", "chunked", "finished", "gone", "kept", "length", "seen")

    def __init__(self, request: Request, receive: Receive, limit: int | None) -> None:
        self._receive = receive
        self._limit = limit
        self.length = _length(request)
        self.chunked = b"transfer-encoding" in request.by_name
        self.seen = 0
        self.kept: bytes | None = b""
        """All that was read; None when that is too much to repeat."""
        self.finished = False
        self.gone = False
        self._begun = False
        self._early = b""
        """What was read before it was passed on."""
        if limit is not None and (self.length or 0) > limit:
            raise TooLarge(f"a body may have {limit} bytes here", limit=limit)

    async def begin(self, *, whole: bool = False) -> None:
        """Read the first piece, or as much as is kept, however often that is asked for; raises as `read` does."""
        if not self._begun:
            self._begun = True
            self._early = await self.read()
        while whole and not self.finished and self.kept is not None:
            self._early += await self.read()

    @property
    def is_small(self) -> bool:
        """It says that all of it can be kept."""
        return not self.chunked and (self.length or 0) <= KEPT

    @property
    def so_far(self) -> bytes:
        """What was read: all of it, or that which was read at first when it is too much to repeat."""
        return self.kept if self.kept is not None else self._early

    @property
    def repeatable(self) -> bool:
        return self.kept is not None and not self.gone

    async def read(self) -> bytes:
        """The next piece; raises TooLarge, SlowBody, and Gone when the caller hung up."""
        message: Any = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone = True
            raise Gone
        piece: bytes = message.get("body", b"")
        self.finished = not message.get("more_body", False)
        return self.count(piece)

    def count(self, piece: bytes) -> bytes:
        """The same piece, that was read. Raises TooLarge."""
        self.seen += len(piece)
        if self._limit is not None and self.seen > self._limit:
            raise TooLarge(f"a body may have {self._limit} bytes here", limit=self._limit)
        if self.kept is not None:
            self.kept = self.kept + piece if self.seen <= KEPT else None
        return piece

    async def hung_up(self) -> None:
        """Returns when the caller is gone."""
        while not self.gone:
            message: Any = await self._receive()
            self.gone = message["type"] == "http.disconnect"

    def framing(self) -> Headers:
        """How the body's end is told; called after the first piece was read."""
        if self.length is not None:
            return [(b"content-length", str(self.length).encode())]
        if self.finished:
            return [(b"content-length", str(self.seen).encode())] if self.chunked or self.seen else []
        return [(b"transfer-encoding", b"chunked")]


def _length(request: Request) -> int | None:
    given = request.by_name.get(b"content-length")
    if given is None:
        return None
    if not given.isdigit():
        raise Malformed("Content-Length is not a number")
    return int(given)
