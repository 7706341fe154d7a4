"""What was found out lately."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Generic, TypeVar

KEPT_S = 60.0
ENTRIES = 10_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Forgets after 60 s, and the oldest when there are too many."""

    def __init__(self) -> None:
        self._found: dict[K, tuple[float, V]] = {}

    def get(self, key: K) -> V | None:
        kept = self._found.get(key)
        return kept[1] if kept is not None and time.monotonic() < kept[0] else None

    def put(self, key: K, value: V) -> None:
        self._found.pop(key, None)
        if len(self._found) >= ENTRIES:
            del self._found[next(iter(self._found))]
        self._found[key] = (time.monotonic() + KEPT_S, value)
