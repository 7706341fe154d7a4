"""Places for requests that hold a Git process: so many in all, and so many for one app."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from libs.common.errors import Unavailable

RETRY_AFTER_S = 5.0


class Slots:
    def __init__(self, what: str, total: int, per_app: int) -> None:
        """`what` is the plural noun of the sentence that refuses one more."""
        self._what, self._total, self._per_app = what, total, per_app
        self._held: Counter[str] = Counter()

    def check_free(self, app: str) -> None:
        """Raises Unavailable."""
        if self._held[app] >= self._per_app or self._held.total() >= self._total:
            raise Unavailable(f"too many {self._what} at once; try again in a moment", retry_after=RETRY_AFTER_S)

    @contextmanager
    def hold(self, app: str) -> Iterator[None]:
        """Raises Unavailable."""
        self.check_free(app)
        self._held[app] += 1
        try:
            yield
        finally:
            self._held[app] -= 1

    def is_held(self, app: str) -> bool:
        return self._held[app] > 0
