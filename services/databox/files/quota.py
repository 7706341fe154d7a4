"""How full a box is, and room for what is on its way.

Used is what the store lists; reserved are rows, so every replica knows of every file on its way. What was counted is
good while the box's number of changes stays, and not for long: where links bypass databox, it cannot see their files.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from libs.common.db import Database, clock
from libs.common.errors import NotFound, TooLarge, Unavailable
from libs.common.store_keys import box_root
from services.databox import db as tables
from services.databox.store import Stat, Store

BUSY_S = 10.0
"""How long a box is counted again that other replicas change at the same time."""
TURN_S = 30.0
"""The longest that a change waits for those before it."""
COUNT_S = 30.0
"""The longest that a count is good for."""
CHEAP_S = 0.05
"""A count that took less than this is made anew each time, where links bypass databox."""
SHARE = 20.0
"""A count that took longer is good for this many times as long."""


@dataclass(frozen=True)
class Use:
    used: int
    reserved: int
    capacity: int

    @property
    def left(self) -> int:
        return self.capacity - self.used - self.reserved

    def refusal(self, box: str) -> TooLarge:
        detail = f"box {box} is full: {self.used} bytes used and {self.reserved} reserved of {self.capacity}"
        return TooLarge(detail, used=self.used, reserved=self.reserved, capacity=self.capacity)


@dataclass(frozen=True)
class Count:
    changes: int
    used: int
    began: float
    took: float

    def good(self, now: float, asked: float, links_bypass: bool) -> bool:
        """At `now`, for who asked at `asked` and waited for a turn since."""
        if not links_bypass:
            return now - self.began < COUNT_S
        long = self.took >= CHEAP_S and now - self.began < min(COUNT_S, self.took * SHARE)
        return self.began >= asked or long


@dataclass(frozen=True)
class Ask:
    """Room for `least` to `most` more bytes, beyond the `replaced` ones that they take the place of.

    `id` is the reservation's; asking again changes it. `instead` are reservations for the same bytes.
    A `key` makes it one for a link: over when something else than `before` is there.
    """

    app: str
    box: str
    id: str
    least: int
    most: int
    lifetime: float
    replaced: int = 0
    instead: tuple[str, ...] = ()
    key: str | None = None
    before: str | None = None


def link_reservation(key: str) -> str:
    return f"link:{key}"


def mark(stat: Stat | None) -> str | None:
    """Tells one version of a file from the next, in a listing and on its own."""
    return None if stat is None else f"{stat.etag} {int(stat.modified)}"


class Quota:
    def __init__(self, database: Database, store: Store) -> None:
        self._db = database
        self._store = store
        self._counts: dict[tuple[str, str], Count] = {}
        self._turns: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        """Who changes a box next, in the order in which they came: else each would make the others' counts useless."""

    async def use(self, app: str, box: tables.Box) -> Use:
        count, _fresh = await self._count(app, box.name, time.monotonic())
        async with self._db.read() as c:
            return Use(count.used, await tables.reserved(c, app, box.name), box.capacity)

    async def reserve(self, ask: Ask) -> int:
        """The number of bytes reserved. Raises TooLarge with the figures, NotFound when there is no such box,
        Unavailable when the box is too busy."""
        asked = time.monotonic()
        async with self._turn(ask.app, ask.box):
            return await self._reserve(ask, asked)

    @asynccontextmanager
    async def _turn(self, app: str, box: str) -> AsyncIterator[None]:
        turn = self._turns[app, box]
        try:
            async with asyncio.timeout(TURN_S):
                await turn.acquire()
        except TimeoutError as error:
            raise Unavailable(f"too many change box {box} at once", retry_after=TURN_S) from error
        try:
            yield
        finally:
            turn.release()

    async def _reserve(self, ask: Ask, asked: float) -> int:
        until = time.monotonic() + BUSY_S
        while time.monotonic() < until:
            count, fresh = await self._count(ask.app, ask.box, asked)
            granted, use = await self._try(ask, count)
            if granted is not None:
                return granted
            self._counts.pop((ask.app, ask.box), None)
            if fresh and use is not None:
                raise use.refusal(ask.box)
        raise Unavailable(f"box {ask.box} changes too quickly to be counted")

    async def _try(self, ask: Ask, count: Count) -> tuple[int | None, Use | None]:
        """What was granted, else why not: the use of the box, or nothing when the count is not good any more."""
        async with self._db.write() as c:
            box = await tables.box(c, ask.app, ask.box, lock=True)
            if box is None or box.changes != count.changes:
                return None, None
            use = Use(count.used, await tables.reserved(c, ask.app, ask.box, (ask.id, *ask.instead)), box.capacity)
            room = use.left + ask.replaced
            if ask.least > room:
                return None, use
            granted = min(ask.most, room)
            if granted > 0:
                await tables.reserve(c, _row(ask, granted, await clock(c)))
            return granted, use

    async def release(self, ids: Sequence[str]) -> None:
        async with self._db.write() as c:
            await tables.release(c, ids)

    async def settle(self, app: str, box: str, ids: Sequence[str] = (), grown: int | None = None) -> None:
        """The content changed, by `grown` bytes when that is known; what was reserved for it is free."""
        async with self._turns[app, box]:
            old = self._counts.pop((app, box), None)
            async with self._db.write() as c:
                await tables.release(c, ids)
                changes = await tables.changed(c, app, box)
            if old is not None and grown is not None and old.changes == changes - 1:
                self._counts[app, box] = Count(changes, old.used + grown, old.began, old.took)

    async def _count(self, app: str, box: str, asked: float) -> tuple[Count, bool]:
        """A count that is still good, or of this moment; and whether it is as new as it can be."""
        async with self._db.read() as c:
            found = await tables.box(c, app, box)
        if found is None:
            raise NotFound(f"{app} has no box {box}")
        known = self._counts.get((app, box))
        if known and known.changes == found.changes and known.good(time.monotonic(), asked, self._store.links_bypass):
            return known, False
        count = self._counts[app, box] = await self._listed(app, box, found.changes)
        return count, True

    async def _listed(self, app: str, box: str, changes: int) -> Count:
        async with self._db.read() as c:
            promised = await tables.promised(c, app, box)
        began, used, kept = time.monotonic(), 0, []
        async for stat in self._store.list(box_root(app, box)):
            used += stat.size
            if stat.key in promised and promised[stat.key] != mark(stat):
                kept.append(link_reservation(stat.key))
        if kept:
            await self.release(kept)
        return Count(changes, used, began, time.monotonic() - began)


def _row(ask: Ask, granted: int, now: float) -> tables.Reservation:
    return tables.Reservation(ask.id, ask.app, ask.box, ask.key, granted, ask.before, now + ask.lifetime)
