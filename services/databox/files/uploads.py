"""A file on its way into the store: checked, counted, and refused before it is seen."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Self
from uuid import uuid4

from libs.common import log
from libs.common.errors import Conflict, MeshError, TooLarge
from libs.common.store_keys import box_of, folders_above
from services.databox.change_publisher import Changes
from services.databox.digests import Digest
from services.databox.files.quota import Ask, Quota, link_reservation
from services.databox.store import Only, Stat, Store

STEP_BYTES = 16 * 1024**2
"""Room is reserved in such steps while the size is not known."""
LIFETIME_S = 120.0
"""How long the room of an upload stays reserved after databox died in the middle of it."""
RENEW_S = 40.0


Judge = Callable[[Stat | None], Only | None]
"""Whether a file may come in place of what is there (None: nothing), and whether it must be that still then."""


def any_version(_old: Stat | None) -> None:
    """Whatever is there may be replaced."""


class Room:
    """Reserved room that grows with an upload; free again on leaving the context, unless it was `filled`."""

    def __init__(self, quota: Quota, app: str, box: str, key: str, replaced: int) -> None:
        self._quota = quota
        self._place = app, box
        self._id = f"upload:{uuid4().hex}"
        self._link = link_reservation(key)
        self._replaced = replaced
        self._granted = -1
        self._asked = 0.0
        self._settled = False

    async def cover(self, least: int, most: int) -> None:
        """Raises TooLarge unless `least` bytes fit."""
        if least <= self._granted and time.monotonic() - self._asked < RENEW_S:
            return
        ask = Ask(*self._place, self._id, least, max(most, self._granted), LIFETIME_S, self._replaced, (self._link,))
        self._granted = await self._quota.reserve(ask)
        self._asked = time.monotonic()

    async def filled(self, size: int) -> None:
        self._settled = True
        await self._quota.settle(*self._place, (self._id, self._link), size - self._replaced)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._settled or self._granted <= 0:
            return
        try:
            await self._quota.release([self._id])
        except MeshError as why:
            log.get("databox").warning("room stays reserved for a while", why=why.detail, seconds=LIFETIME_S)


class Uploads:
    def __init__(self, store: Store, quota: Quota, changes: Changes) -> None:
        self._store = store
        self._quota = quota
        self._changes = changes

    async def put(
        self,
        key: str,
        body: AsyncIterator[bytes],
        size: int | None,
        *,
        digests: Sequence[Digest] = (),
        limit: int | None = None,
        judge: Judge = any_version,
    ) -> Stat:
        """Keep `body` under `key`, unless it is over the box's capacity or `limit`, or not what `digests` say.

        What `judge` raises when it is told what is there passes; what it answers is for the store to watch over.
        """
        if limit is not None and size is not None and size > limit:
            raise _over(limit)
        content = _limited(_verified(body, digests), limit)
        owner = box_of(key)
        if owner is None:
            return await self._store.put(key, content, size)
        stat = await self._put_in_box(*owner, key, content, size, judge)
        self._changes.note(*owner)
        return stat

    async def _put_in_box(
        self, app: str, box: str, key: str, body: AsyncIterator[bytes], size: int | None, judge: Judge
    ) -> Stat:
        await refuse_clash(self._store, key)
        old = await self._store.stat(key)
        only = judge(old)
        async with Room(self._quota, app, box, key, old.size if old else 0) as room:
            await room.cover(size or 0, size or 0)
            stat = await self._store.put(key, _covered(body, room, size), size, only=only)
            await room.filled(stat.size)
        return stat


async def refuse_clash(store: Store, key: str) -> None:
    """Raises Conflict when `key` is a folder, or one of its folders a file: not every store would show both."""
    async for below in store.list(f"{key}/", limit=1):
        raise Conflict(f"there is a folder of this name, with {below.key.rpartition('/')[2]} in it")
    for folder in folders_above(key):
        if await store.stat(folder) is not None:
            raise Conflict(f"{folder.rpartition('/')[2]} is a file, not a folder")


async def _covered(body: AsyncIterator[bytes], room: Room, size: int | None) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in body:
        total += len(chunk)
        await room.cover(total, max(size, total) if size is not None else total + STEP_BYTES)
        yield chunk


async def _verified(body: AsyncIterator[bytes], digests: Sequence[Digest]) -> AsyncIterator[bytes]:
    hashed = [(digest, digest.hasher()) for digest in digests]
    async for chunk in body:
        for _, hasher in hashed:
            hasher.update(chunk)
        yield chunk
    for digest, hasher in hashed:
        digest.check(hasher)


async def _limited(body: AsyncIterator[bytes], limit: int | None) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in body:
        total += len(chunk)
        if limit is not None and total > limit:
            raise _over(limit)
        yield chunk


def _over(limit: int) -> TooLarge:
    return TooLarge(f"this link is for at most {limit} bytes", limit=limit)
