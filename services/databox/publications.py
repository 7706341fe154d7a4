"""Publishing: folders copied to their final place, all or nothing, once, however often it is asked for.

The journal is written first, so what was begun is finished by the next call with the same id.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.db import Database
from libs.common.errors import Invalid, TooLarge
from libs.common.files import Location
from libs.common.paths import box_of, key_of
from services.databox import db as tables
from services.databox.changes import Changes
from services.databox.quota import Ask, Quota
from services.databox.store import Stat, Store

COPIES = 8
"""Files copied at the same time."""
LIFETIME_S = 24 * 3600.0
"""How long the room of a publication that was begun stays reserved."""
REMEMBERED_S = 30 * 24 * 3600.0
"""How long a repeated call gets the first answer."""


@dataclass(frozen=True)
class Copy:
    source: Stat
    target: str
    replaced: Stat | None


class Publications:
    def __init__(self, database: Database, store: Store, quota: Quota, changes: Changes) -> None:
        self._db = database
        self._store = store
        self._quota = quota
        self._changes = changes
        self._running: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def publish(self, app: str, name: str, moves: Sequence[tuple[Location, Location]]) -> dict[str, Any]:
        """The numbers of what was copied. Raises TooLarge, with nothing left behind, when it does not fit."""
        lock = self._running[app, name]
        try:
            async with lock:
                return await self._publish(app, name, moves)
        finally:
            if not lock.locked():
                self._running.pop((app, name), None)

    async def _publish(self, app: str, name: str, moves: Sequence[tuple[Location, Location]]) -> dict[str, Any]:
        folders = list(_folders(app, moves))
        journal = await self._begin(app, name, [[source, target] for source, target in folders])
        if journal.answer is not None:
            return journal.answer
        copies = [copy for source, target in journal.moves for copy in await self._copies(source, target)]
        boxes = {owner for _, target in journal.moves if (owner := box_of(target))}
        if journal.fresh is not None:
            await self._recount(boxes)
        await self._reserve(app, name, copies, boxes, journal)
        if journal.fresh is None:
            await self._note(app, name, fresh=[copy.target for copy in copies if copy.replaced is None])
        await self._copy(copies)
        return await self._end(app, name, copies, boxes)

    async def _begin(self, app: str, name: str, moves: list[list[str]]) -> tables.Publication:
        async with self._db.write() as c:
            found = await tables.publication(c, app, name)
            if found is None:
                await tables.begin_publication(c, app, name, moves)
        return found or tables.Publication(moves, None, None)

    async def _copies(self, source: str, target: str) -> list[Copy]:
        there = {stat.key: stat async for stat in self._store.list(target)}
        found = [(stat, target + stat.key.removeprefix(source)) async for stat in self._store.list(source)]
        return [Copy(stat, key, there.get(key)) for stat, key in found]

    async def _recount(self, boxes: set[tuple[str, str]]) -> None:
        """Nobody noted what was copied before the publication broke off."""
        for owner in sorted(boxes):
            await self._quota.settle(*owner)

    async def _reserve(
        self, app: str, name: str, copies: list[Copy], boxes: set[tuple[str, str]], journal: tables.Publication
    ) -> None:
        try:
            for owner in sorted(boxes):
                mine = [copy for copy in copies if box_of(copy.target) == owner]
                size = sum(copy.source.size for copy in mine)
                replaced = sum(copy.replaced.size for copy in mine if copy.replaced)
                ask = Ask(*owner, _reservation(app, name, owner[1]), size, size, LIFETIME_S, replaced)
                await self._quota.reserve(ask)
        except TooLarge:
            await self._undo(app, name, boxes, journal)
            raise

    async def _undo(self, app: str, name: str, boxes: set[tuple[str, str]], journal: tables.Publication) -> None:
        for key in journal.fresh or ():
            await self._store.delete(key)
        for owner in sorted(boxes):
            await self._quota.settle(*owner, [_reservation(app, name, owner[1])])
        async with self._db.write() as c:
            await tables.forget_publication(c, app, name)

    async def _copy(self, copies: list[Copy]) -> None:
        todo = iter(copies)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(COPIES, len(copies))):
                    group.create_task(self._copy_some(todo))
        except BaseExceptionGroup as failed:
            raise _first(failed) from failed

    async def _copy_some(self, todo: Iterator[Copy]) -> None:
        for copy in todo:
            if copy.replaced is None or copy.replaced.etag != copy.source.etag:
                await self._store.copy(copy.source, copy.target)

    async def _end(self, app: str, name: str, copies: list[Copy], boxes: set[tuple[str, str]]) -> dict[str, Any]:
        answer = {"files": {"number": len(copies), "bytes": sum(copy.source.size for copy in copies)}}
        for owner in sorted(boxes):
            await self._quota.settle(*owner, [_reservation(app, name, owner[1])])
            self._changes.note(*owner)
        await self._note(app, name, answer=answer)
        return answer

    async def _note(self, app: str, name: str, **values: Any) -> None:
        async with self._db.write() as c:
            await tables.note_publication(c, app, name, **values)


def _folders(app: str, moves: Sequence[tuple[Location, Location]]) -> Iterator[tuple[str, str]]:
    for source, target in moves:
        keys = key_of(app, source), key_of(app, target)
        if not all(key.endswith("/") for key in keys):
            raise Invalid(f"{source} to {target}: only folders are published")
        yield keys


def _reservation(app: str, name: str, box: str) -> str:
    return f"publication:{app}/{box}/{name}"


def _first(failed: BaseExceptionGroup) -> BaseException:
    error: BaseException = failed
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
