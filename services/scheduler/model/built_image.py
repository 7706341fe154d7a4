"""Images that workers have built."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BuiltImage:
    """An image that a worker has built for an app."""

    key: str
    image: str
    """`repository@sha256:…`, or the id that only its engine knows."""
    engine: str
    """The Docker Engine that has it; empty: an image registry has it."""
    log: str
    """The name of its build's log."""
