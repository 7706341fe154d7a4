"""Workers, as they describe themselves."""

from __future__ import annotations

from dataclasses import dataclass

WORKER_ALIVE_S = 60.0
"""A worker is alive while its last heartbeat is younger than this."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker as of its last heartbeat."""

    name: str
    host: str
    classes: list[str]
    slots: int
    free: int
    labels: dict[str, str]
    draining: bool
    seen_at: float

    def is_alive(self, now: float) -> bool:
        """Whether its last heartbeat is recent."""
        return now - self.seen_at < WORKER_ALIVE_S
