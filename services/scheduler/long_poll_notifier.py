"""In-process publish/subscribe: a change made by one request wakes the requests that wait for it.

Notifications are hints within one process: a waiter reads the database afterwards, and polls it slowly without one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

ROUTE_TABLE = "table"


RUN_CHANGED = "run:"
RUN_ENDED = "end:"


def run_changed(run_id: str) -> str:
    """Key: something about the run has changed."""
    return RUN_CHANGED + run_id


def run_ended(run_id: str) -> str:
    """Key: the run has ended."""
    return RUN_ENDED + run_id


def worker_orders(name: str) -> str:
    return f"worker:{name}"


class LongPollNotifier:
    def __init__(self) -> None:
        self._subscribers: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._closed = False

    def notify(self, key: str) -> None:
        for event in self._subscribers.get(key, ()):
            event.set()

    def close(self) -> None:
        """Wake all subscribers for good: the service stops."""
        self._closed = True
        for events in self._subscribers.values():
            for event in events:
                event.set()

    @contextmanager
    def subscribe(self, key: str) -> Iterator[Subscription]:
        """Subscribe before reading the database, so that no change between the read and the wait is missed."""
        event = asyncio.Event()
        self._subscribers[key].add(event)
        try:
            yield Subscription(event, self)
        finally:
            self._subscribers[key].discard(event)
            if not self._subscribers[key]:
                del self._subscribers[key]

    def list_watched_runs(self) -> list[str]:
        """Ids of the runs that have subscribers."""
        return list({key.partition(":")[2] for key in self._subscribers if key.startswith((RUN_CHANGED, RUN_ENDED))})

    @property
    def closed(self) -> bool:
        return self._closed


class Subscription:
    def __init__(self, event: asyncio.Event, notifier: LongPollNotifier) -> None:
        self._event = event
        self._notifier = notifier

    async def wait(self, seconds: float) -> bool:
        """Whether a notification arrived; True immediately when the service stops."""
        if self._notifier.closed:
            return True
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
