"""Bells: a change made by one request wakes the requests that wait for it, without a query each.

Bells are hints within one process: whoever waits looks at the database afterwards, and now and then without a ring.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

TABLE = "table"


RUN = "run:"
END = "end:"


def run(run: str) -> str:
    """Something of it has changed."""
    return RUN + run


def end(run: str) -> str:
    """It has ended."""
    return END + run


def worker(worker: str) -> str:
    return f"worker:{worker}"


class Bells:
    def __init__(self) -> None:
        self._listening: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._closed = False

    def ring(self, key: str) -> None:
        for event in self._listening.get(key, ()):
            event.set()

    def close(self) -> None:
        """Wake everybody for good: the service stops."""
        self._closed = True
        for events in self._listening.values():
            for event in events:
                event.set()

    @contextmanager
    def listen(self, key: str) -> Iterator[Bell]:
        """Listen before looking, so that no ring is missed between the look and the wait."""
        event = asyncio.Event()
        self._listening[key].add(event)
        try:
            yield Bell(event, self)
        finally:
            self._listening[key].discard(event)
            if not self._listening[key]:
                del self._listening[key]

    def runs(self) -> list[str]:
        """Those that somebody listens for."""
        return list({key.partition(":")[2] for key in self._listening if key.startswith((RUN, END))})

    @property
    def closed(self) -> bool:
        return self._closed


class Bell:
    def __init__(self, event: asyncio.Event, bells: Bells) -> None:
        self._event = event
        self._bells = bells

    async def wait(self, seconds: float) -> bool:
        """Whether it rang; True at once when the service stops."""
        if self._bells.closed:
            return True
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
