"""A call that is passed on: what is sent, and the places where it can go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from libs.common.errors import MeshError
from services.gateway.proxy.connection_pool import Address
from services.gateway.proxy.tunnel import HandOver
from services.gateway.proxy.upstream_connection import Headers


@dataclass(slots=True)
class Hop:
    """Where a call can go."""

    address: Address
    headers: Headers
    """For this place only."""


class Hops(Protocol):
    """The places to try, best first; it hears how it went at the one that it named last."""

    def next(self) -> Hop | None: ...

    def answered(self) -> None: ...

    def failed(self) -> None: ...

    def close(self) -> None:
        """The call is over."""


@dataclass(slots=True)
class Call:
    name: str
    method: str
    target: bytes
    headers: Headers
    hops: Hops
    nowhere: Callable[[], MeshError]
    """What is raised when no place took it."""
    answer_within: float
    """Seconds from the body's end to the answer's beginning."""
    whole: bool = False
    """The answer's end, too, must come within that time."""
    ours: bool = False
    """It goes to another service of the mesh, which may say what a component may not."""
    tunnel: HandOver | None = None
    """The caller's connection, where a WebSocket is wanted."""


class Only:
    """One place."""

    def __init__(self, hop: Hop) -> None:
        self._hop: Hop | None = hop

    def next(self) -> Hop | None:
        hop, self._hop = self._hop, None
        return hop

    def answered(self) -> None:
        """There is no choice to learn for."""

    failed = close = answered
