"""Quotas of boxes: used bytes, counted by listing the store, and reserved bytes of uploads in progress, as rows.

A count is cached while the box's version stays the same, and not for long: with presigned links files reach the store
without passing through databox.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from operator import attrgetter

from libs.common.db import Database, database_time
from libs.common.errors import NotFound, TooLarge, Unavailable
from libs.common.store_keys import box_root
from services.databox import db
from services.databox.store import Stat, Store

RETRY_TIMEOUT_S = 10.0
"""How long a reservation is retried while other replicas change the box."""
LOCK_TIMEOUT_S = 30.0
"""Longest wait for the lock of a box."""
MAX_SAMPLE_AGE_S = 30.0
"""Longest time that a count is reused."""
FAST_COUNT_S = 0.05
"""With presigned links, a count that took less than this is never reused."""
REUSE_FACTOR = 20.0
"""A slower count is reused for this multiple of its duration."""


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
    stored_ids: frozenset[str] = frozenset()
    """Reservations of uploads whose files `used` already holds."""

    def is_fresh(self, now: float, requested_at: float, presigned_links: bool) -> bool:
        """Whether the sample may answer a request of `requested_at`, which has waited for the lock until `now`."""
        if not presigned_links:
            return now - self.started_at < MAX_SAMPLE_AGE_S
        if self.started_at >= requested_at:
            return True
        max_age = min(MAX_SAMPLE_AGE_S, self.duration * REUSE_FACTOR)
        return self.duration >= FAST_COUNT_S and now - self.started_at < max_age


@dataclass(frozen=True)
class ReservationRequest:
    """Asks for `min_bytes` to `max_bytes`; the file that is replaced frees `replaced_bytes`.

    `id` is the reservation's; a second request with it changes it. `replaces` are reservations for the same bytes.
    With `key` it belongs to one file, which is stored when its version is no longer `old_version`.
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


def is_link_reservation(id: str) -> bool:
    return id.startswith("link:")


def file_version(stat: Stat | None) -> str | None:
    """Identifies a version of a file; the same in a listing and in a single lookup."""
    return None if stat is None else f"{stat.etag} {int(stat.modified)}"


class Quota:
    def __init__(self, database: Database, store: Store) -> None:
        self._db = database
        self._store = store
        self._samples: dict[tuple[str, str], UsageSample] = {}
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        """Serialises the changes of a box in this process: concurrent ones would invalidate each other's counts."""

    async def get_usage(self, app: str, box: db.Box) -> BoxUsage:
        sample, _is_new = await self._get_sample(app, box.name, time.monotonic())
        async with self._db.read() as conn:
            reserved = await db.sum_reserved_bytes(conn, app, box.name, sample.stored_ids)
            return BoxUsage(sample.used, reserved, box.capacity)

    async def reserve(self, request: ReservationRequest) -> int:
        """The number of reserved bytes. Raises TooLarge with the usage, NotFound if there is no such box,
        Unavailable if the box is too busy."""
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
            raise Unavailable(f"too many concurrent changes of box {box}", retry_after=LOCK_TIMEOUT_S) from error
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
        raise Unavailable(f"box {request.box} changes too quickly to count its files")

    async def _try_reserve(
        self, request: ReservationRequest, sample: UsageSample
    ) -> tuple[int | None, BoxUsage | None]:
        """The granted bytes; or None and the usage if they do not fit; or twice None if the sample is outdated."""
        async with self._db.write() as conn:
            box = await db.get_box(conn, request.app, request.box, lock=True)
            if box is None or box.version != sample.box_version:
                return None, None
            usage = BoxUsage(
                sample.used,
                await db.sum_reserved_bytes(
                    conn, request.app, request.box, (request.id, *request.replaces, *sample.stored_ids)
                ),
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
        """Record that the content changed, by `growth` bytes if that is known, and release the reservations `ids`."""
        async with self._locks[app, box]:
            sample = self._samples.pop((app, box), None)
            async with self._db.write() as conn:
                await db.delete_reservations(conn, ids)
                version = await db.bump_version(conn, app, box)
            if sample is not None and growth is not None and sample.box_version == version - 1:
                is_counted = not sample.stored_ids.isdisjoint(ids)
                self._samples[app, box] = replace(
                    sample, box_version=version, used=sample.used if is_counted else sample.used + growth
                )

    async def _get_sample(self, app: str, box: str, requested_at: float) -> tuple[UsageSample, bool]:
        """A sample that may be used, and whether it was counted just now."""
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
            reserved = await db.list_key_reservations(conn, app, box)
        reservations_by_key = defaultdict(list)
        for reservation in reserved:
            reservations_by_key[reservation.key].append(reservation)
        started_at, used, stored = time.monotonic(), 0, []
        async for stat in self._store.list(box_root(app, box)):
            used += stat.size
            stored += find_stored(reservations_by_key.get(stat.key, ()), stat)
        used_links = [id for id in stored if is_link_reservation(id)]
        if used_links:
            await self.release(used_links)
        stored_uploads = frozenset(stored).difference(used_links)  # another link to a file has the same id again
        return UsageSample(version, used, started_at, time.monotonic() - started_at, stored_uploads)


def find_stored(reservations: Sequence[db.Reservation], stat: Stat) -> list[str]:
    """Ids of the reservations of this file that its bytes replace: those of its link, and of one upload, the smallest.

    Of several uploads to one key any may have been first, and the others will replace it.
    """
    changed = [reservation for reservation in reservations if reservation.old_version != file_version(stat)]
    links = [reservation.id for reservation in changed if is_link_reservation(reservation.id)]
    uploads = [reservation for reservation in changed if not is_link_reservation(reservation.id)]
    return [*links, *(upload.id for upload in sorted(uploads, key=attrgetter("size"))[:1])]


def _to_row(request: ReservationRequest, granted: int, now: float) -> db.Reservation:
    return db.Reservation(
        request.id, request.app, request.box, request.key, granted, request.old_version, now + request.lifetime
    )
