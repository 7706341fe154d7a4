"""Uploads: verify digests and limits, and reserve quota, before a file becomes visible in the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from libs.common.errors import Conflict, TooLarge
from libs.common.store_keys import box_of_key, enclosing_folders
from services.databox.change_publisher import BoxChangePublisher
from services.databox.digests import Digest
from services.databox.files.quota import Quota
from services.databox.files.reservations import UploadReservation
from services.databox.store import ExpectedVersion, Stat, Store

RESERVATION_STEP_BYTES = 16 * 1024**2
"""Bytes are reserved in such steps while the size is unknown."""

ReplaceCheck = Callable[[Stat | None], ExpectedVersion | None]
"""Raises unless a file may replace the existing one (None: no file); returns the version the store must still hold."""


def allow_any_version(_old: Stat | None) -> None:
    """Any existing file may be replaced."""


class Uploads:
    def __init__(self, store: Store, quota: Quota, changes: BoxChangePublisher) -> None:
        self._store = store
        self._quota = quota
        self._changes = changes

    async def store_file(
        self,
        key: str,
        body: AsyncIterator[bytes],
        size: int | None,
        *,
        digests: Sequence[Digest] = (),
        limit: int | None = None,
        check_replace: ReplaceCheck = allow_any_version,
    ) -> Stat:
        """Store `body` under `key`. Raises TooLarge over the box's capacity or `limit`, Malformed for a wrong digest.

        Errors of `check_replace` propagate; the store enforces the version that it returns.
        """
        if limit is not None and size is not None and size > limit:
            raise _limit_error(limit)
        content = _enforce_limit(_verify_digests(body, digests), limit)
        owner = box_of_key(key)
        if owner is None:
            return await self._store.put(key, content, size)
        stat = await self._store_in_box(*owner, key, content, size, check_replace)
        self._changes.mark_changed(*owner)
        return stat

    async def _store_in_box(
        self, app: str, box: str, key: str, body: AsyncIterator[bytes], size: int | None, check_replace: ReplaceCheck
    ) -> Stat:
        await refuse_clash(self._store, key)
        old = await self._store.stat(key)
        expected = check_replace(old)
        async with UploadReservation(self._quota, app, box, key, old) as reservation:
            await reservation.ensure(size or 0, size or 0)
            stat = await self._store.put(key, _reserve_while_reading(body, reservation, size), size, expected=expected)
            await reservation.commit(stat.size)
        return stat


async def refuse_clash(store: Store, key: str) -> None:
    """Raises Conflict if `key` is a folder, or one of its folders is a file: not every store can hold both."""
    async for stat in store.list(f"{key}/", limit=1):
        raise Conflict(f"there is a folder of this name, with {stat.key.rpartition('/')[2]} in it")
    for folder in enclosing_folders(key):
        if await store.stat(folder) is not None:
            raise Conflict(f"{folder.rpartition('/')[2]} is a file, not a folder")


async def _reserve_while_reading(
    body: AsyncIterator[bytes], reservation: UploadReservation, size: int | None
) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in body:
        total += len(chunk)
        await reservation.ensure(total, max(size, total) if size is not None else total + RESERVATION_STEP_BYTES)
        yield chunk


async def _verify_digests(body: AsyncIterator[bytes], digests: Sequence[Digest]) -> AsyncIterator[bytes]:
    hashers = [(digest, digest.new_hasher()) for digest in digests]
    async for chunk in body:
        for _, hasher in hashers:
            hasher.update(chunk)
        yield chunk
    for digest, hasher in hashers:
        digest.verify(hasher)


async def _enforce_limit(body: AsyncIterator[bytes], limit: int | None) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in body:
        total += len(chunk)
        if limit is not None and total > limit:
            raise _limit_error(limit)
        yield chunk


def _limit_error(limit: int) -> TooLarge:
    return TooLarge(f"this link allows at most {limit} bytes", limit=limit)
