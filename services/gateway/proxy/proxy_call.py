"""A call that is passed on: what is sent, and the places where it can go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from libs.common.errors import MeshError
from services.gateway.proxy.connection_pool import Address
from services.gateway.proxy.tunnel import TakeTransport
from services.gateway.proxy.upstream_connection import Headers


@dataclass(slots=True)
class Upstream:
    """Where a call can go."""

    address: Address
    headers: Headers
    """For this place only."""


class UpstreamCandidates(Protocol):
    """The places to try, best first; it hears how it went at the one that it named last."""

    def pick_next(self) -> Upstream | None: ...

    def record_success(self) -> None: ...

    def record_failure(self) -> None: ...

    def close(self) -> None:
        """The call is over."""


@dataclass(slots=True)
class ProxyCall:
    name: str
    method: str
    target: bytes
    headers: Headers
    candidates: UpstreamCandidates
    no_upstream_error: Callable[[], MeshError]
    """What is raised when no place took it."""
    response_timeout: float
    """Seconds from the body's end to the answer's beginning."""
    bounded_response: bool = False
    """The answer's end, too, must come within that time."""
    is_internal: bool = False
    """It goes to another service of the mesh, which may say what a component may not."""
    take_transport: TakeTransport | None = None
    """The caller's connection, where a WebSocket is wanted."""


class SingleUpstream:
    """One place."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream: Upstream | None = upstream

    def pick_next(self) -> Upstream | None:
        upstream, self._upstream = self._upstream, None
        return upstream

    def record_success(self) -> None:
        """There is no choice to learn for."""

    record_failure = close = record_success
