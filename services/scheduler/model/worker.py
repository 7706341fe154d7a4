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
    kinds: list[str] | None = None
    """Kinds of tasks that it takes; None: it is of an earlier release."""
    engine: str | None = None
    """Identifies its Docker Engine, as long as that keeps its data."""

    @property
    def has_engine(self) -> bool:
        """Whether it can find out what the tag of an image names."""
        return "image" in (self.kinds or ())

    def is_alive(self, now: float) -> bool:
        """Whether its last heartbeat is recent."""
        return now - self.seen_at < WORKER_ALIVE_S
