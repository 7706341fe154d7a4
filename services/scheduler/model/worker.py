"""Workers, as they describe themselves."""

from __future__ import annotations

from dataclasses import dataclass

WORKER_ALIVE_S = 60.0
"""A worker that was heard within this counts as being there."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    name: str
    host: str
    classes: list[str]
    slots: int
    free: int
    labels: dict[str, str]
    draining: bool
    seen_at: float

    def is_alive(self, now: float) -> bool:
        """Whether it was heard of lately."""
        return now - self.seen_at < WORKER_ALIVE_S
