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

from libs.common.db import Database, database_time
from libs.common.errors import NotFound, TooLarge, Unavailable
from libs.common.store_keys import box_root
from services.databox import db
from services.databox.store import Stat, Store

RETRY_TIMEOUT_S = 10.0
"""How long a box is counted again that other replicas change at the same time."""
LOCK_TIMEOUT_S = 30.0
"""The longest that a change waits for those before it."""
MAX_SAMPLE_AGE_S = 30.0
"""The longest that a count is good for."""
FAST_COUNT_S = 0.05
"""A count that took less than this is made anew each time, where links bypass databox."""
REUSE_FACTOR = 20.0
"""A count that took longer is good for this many times as long."""


@dataclass(frozen=True)
class BoxUsage:
    used: int
    reserved: int
    capacity: int

    @property
    def available(self) -> int:
        return self.capacity - self.used - self.reserved

    def full_error(self, box: str) -> TooLarge:
        detail = f"box {box} is full: {self.used} bytes used and {self.reserved} reserved of {self.capacity}"
        return TooLarge(detail, used=self.used, reserved=self.reserved, capacity=self.capacity)


@dataclass(frozen=True)
class UsageSample:
    box_version: int
    used: int
    started_at: float
    duration: float

    def is_fresh(self, now: float, requested_at: float, presigned_links: bool) -> bool:
        """At `now`, for who asked at `asked` and waited for a turn since."""
        if not presigned_links:
            return now - self.started_at < MAX_SAMPLE_AGE_S
        is_slow_and_recent = self.duration >= FAST_COUNT_S and now - self.started_at < min(
            MAX_SAMPLE_AGE_S, self.duration * REUSE_FACTOR
        )
        return self.started_at >= requested_at or is_slow_and_recent


@dataclass(frozen=True)
class ReservationRequest:
    """Room for `least` to `most` more bytes, beyond the `replaced` ones that they take the place of.

    `id` is the reservation's; asking again changes it. `instead` are reservations for the same bytes.
    A `key` makes it one for a link: over when something else than `before` is there.
    """

    app: str
    box: str
    id: str
    min_bytes: int
    max_bytes: int
    lifetime: float
    replaced_bytes: int = 0
    replaces: tuple[str, ...] = ()
    key: str | None = None
    old_version: str | None = None


def link_reservation_id(key: str) -> str:
    return f"link:{key}"


def file_version(stat: Stat | None) -> str | None:
    """Tells one version of a file from the next, in a listing and on its own."""
    return None if stat is None else f"{stat.etag} {int(stat.modified)}"


class Quota:
    def __init__(self, database: Database, store: Store) -> None:
        self._db = database
        self._store = store
        self._samples: dict[tuple[str, str], UsageSample] = {}
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        """Who changes a box next, in the order in which they came: else each would make the others' counts useless."""

    async def get_usage(self, app: str, box: db.Box) -> BoxUsage:
        sample, _is_new = await self._get_sample(app, box.name, time.monotonic())
        async with self._db.read() as conn:
            return BoxUsage(sample.used, await db.sum_reserved_bytes(conn, app, box.name), box.capacity)

    async def reserve(self, request: ReservationRequest) -> int:
        """The number of bytes reserved. Raises TooLarge with the figures, NotFound when there is no such box,
        Unavailable when the box is too busy."""
        requested_at = time.monotonic()
        async with self._lock_box(request.app, request.box):
            return await self._reserve_locked(request, requested_at)

    @asynccontextmanager
    async def _lock_box(self, app: str, box: str) -> AsyncIterator[None]:
        lock = self._locks[app, box]
        try:
            async with asyncio.timeout(LOCK_TIMEOUT_S):
                await lock.acquire()
        except TimeoutError as error:
            raise Unavailable(f"too many change box {box} at once", retry_after=LOCK_TIMEOUT_S) from error
        try:
            yield
        finally:
            lock.release()

    async def _reserve_locked(self, request: ReservationRequest, requested_at: float) -> int:
        deadline = time.monotonic() + RETRY_TIMEOUT_S
        while time.monotonic() < deadline:
            sample, is_new = await self._get_sample(request.app, request.box, requested_at)
            granted, usage = await self._try_reserve(request, sample)
            if granted is not None:
                return granted
            self._samples.pop((request.app, request.box), None)
            if is_new and usage is not None:
                raise usage.full_error(request.box)
        raise Unavailable(f"box {request.box} changes too quickly to be counted")

    async def _try_reserve(
        self, request: ReservationRequest, sample: UsageSample
    ) -> tuple[int | None, BoxUsage | None]:
        """What was granted, else why not: the use of the box, or nothing when the count is not good any more."""
        async with self._db.write() as conn:
            box = await db.get_box(conn, request.app, request.box, lock=True)
            if box is None or box.version != sample.box_version:
                return None, None
            usage = BoxUsage(
                sample.used,
                await db.sum_reserved_bytes(conn, request.app, request.box, (request.id, *request.replaces)),
                box.capacity,
            )
            available = usage.available + request.replaced_bytes
            if request.min_bytes > available:
                return None, usage
            granted = min(request.max_bytes, available)
            if granted > 0:
                await db.upsert_reservation(conn, _to_row(request, granted, await database_time(conn)))
            return granted, usage

    async def release(self, ids: Sequence[str]) -> None:
        async with self._db.write() as conn:
            await db.delete_reservations(conn, ids)

    async def commit(self, app: str, box: str, ids: Sequence[str] = (), growth: int | None = None) -> None:
        """The content changed, by `grown` bytes when that is known; what was reserved for it is free."""
        async with self._locks[app, box]:
            sample = self._samples.pop((app, box), None)
            async with self._db.write() as conn:
                await db.delete_reservations(conn, ids)
                version = await db.bump_version(conn, app, box)
            if sample is not None and growth is not None and sample.box_version == version - 1:
                self._samples[app, box] = UsageSample(version, sample.used + growth, sample.started_at, sample.duration)

    async def _get_sample(self, app: str, box: str, requested_at: float) -> tuple[UsageSample, bool]:
        """A count that is still good, or of this moment; and whether it is as new as it can be."""
        async with self._db.read() as conn:
            row = await db.get_box(conn, app, box)
        if row is None:
            raise NotFound(f"{app} has no box {box}")
        sample = self._samples.get((app, box))
        if (
            sample
            and sample.box_version == row.version
            and sample.is_fresh(time.monotonic(), requested_at, self._store.has_presigned_links)
        ):
            return sample, False
        new_sample = self._samples[app, box] = await self._measure_usage(app, box, row.version)
        return new_sample, True

    async def _measure_usage(self, app: str, box: str, version: int) -> UsageSample:
        async with self._db.read() as conn:
            link_versions = await db.list_link_reservations(conn, app, box)
        started_at, used, used_links = time.monotonic(), 0, []
        async for stat in self._store.list(box_root(app, box)):
            used += stat.size
            if stat.key in link_versions and link_versions[stat.key] != file_version(stat):
                used_links.append(link_reservation_id(stat.key))
        if used_links:
            await self.release(used_links)
        return UsageSample(version, used, started_at, time.monotonic() - started_at)


def _to_row(request: ReservationRequest, granted: int, now: float) -> db.Reservation:
    return db.Reservation(
        request.id, request.app, request.box, request.key, granted, request.old_version, now + request.lifetime
    )
