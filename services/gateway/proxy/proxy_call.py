"""Values of a proxied call: what is sent, and its upstream candidates."""

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
    """One address that can serve a call."""

    address: Address
    headers: Headers
    """Headers for this upstream only."""


class UpstreamCandidates(Protocol):
    """Upstreams to try, best first; outcomes are recorded for the one picked last."""

    def pick_next(self) -> Upstream | None: ...

    def record_success(self) -> None: ...

    def record_failure(self) -> None: ...

    def close(self) -> None:
        """End the call."""


@dataclass(slots=True)
class ProxyCall:
    name: str
    method: str
    target: bytes
    headers: Headers
    candidates: UpstreamCandidates
    no_upstream_error: Callable[[], MeshError]
    """The error when no upstream accepted the call."""
    response_timeout: float
    """Seconds from the end of the request body to the start of the response."""
    bounded_response: bool = False
    """The response must also end within that time."""
    is_internal: bool = False
    """The upstream is a service of the mesh, and may send internal headers."""
    take_transport: TakeTransport | None = None
    """Takes over the client's connection for a WebSocket."""


class SingleUpstream:
    """The only candidate."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream: Upstream | None = upstream

    def pick_next(self) -> Upstream | None:
        upstream, self._upstream = self._upstream, None
        return upstream

    def record_success(self) -> None:
        """There is nothing to balance."""

    record_failure = close = record_success
