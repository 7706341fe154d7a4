"""Publishing: folders copied to their final place, all or nothing, once, however often it is asked for.

The journal is written first, so what was begun is finished by the next call with the same id.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from libs.common.db import Database
from libs.common.errors import Conflict, Forbidden, Gone, Invalid, NotFound, TooLarge
from libs.common.locations import Location
from libs.common.store_keys import box_of, folders_above, key_of, shown_key
from services.databox import db as tables
from services.databox.change_publisher import Changes
from services.databox.files.quota import Ask, Quota
from services.databox.store import Stat, Store

COPIES = 8
"""Files copied at the same time."""
LIFETIME_S = 24 * 3600.0
"""How long the room of a publication that was begun stays reserved."""
REMEMBERED_S = 30 * 24 * 3600.0
"""How long a repeated call gets the first answer."""
REFUSALS = (Conflict, Forbidden, Gone, Invalid, NotFound, TooLarge)
"""A publication that ends so would end so again: nothing of it is left."""


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
        self._withdrawn: set[tuple[str, str]] = set()

    async def publish(self, app: str, name: str, moves: Sequence[tuple[Location, Location]]) -> dict[str, Any]:
        """The numbers of what was copied.

        Raises one of REFUSALS, with nothing left behind: TooLarge when it does not fit, Conflict, which names the
        `file` and what is `in_the_way`.
        """
        async with self._alone(app, name):
            return await self._publish(app, name, list(_folders(app, moves)))

    async def withdraw(self, app: str, name: str) -> None:
        """Nothing of it is left: what was copied goes, unless it took the place of something. Idempotent."""
        self._withdrawn.add((app, name))
        try:
            async with self._alone(app, name):
                async with self._db.read() as c:
                    journal = await tables.publication(c, app, name)
                if journal is not None:
                    found = [await self._copies(source, target) for source, target in journal.moves]
                    copies = [copy for some, _ in found for copy in some]
                    await self._undo(app, name, copies, _owners(journal.moves), journal.fresh or ())
        finally:
            self._withdrawn.discard((app, name))

    @asynccontextmanager
    async def _alone(self, app: str, name: str) -> AsyncIterator[None]:
        lock = self._running[app, name]
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._running.pop((app, name), None)

    async def _publish(self, app: str, name: str, folders: list[tuple[str, str]]) -> dict[str, Any]:
        journal = await self._begin(app, name, [[source, target] for source, target in folders])
        if journal.answer is not None:
            return journal.answer
        found = [await self._copies(source, target) for source, target in journal.moves]
        copies = [copy for some, _ in found for copy in some]
        boxes, fresh = _owners(journal.moves), journal.fresh
        try:
            targets = [target for _, target in journal.moves]
            await self._refuse_clashes(copies, targets, {name for _, there in found for name in there})
            if fresh is not None:
                await self._recount(boxes)
            await self._reserve(app, name, copies, boxes)
            if fresh is None:
                fresh = [copy.target for copy in copies if copy.replaced is None]
                await self._note(app, name, fresh=fresh)
            await self._copy(app, name, copies)
        except REFUSALS:
            await self._undo(app, name, copies, boxes, fresh or ())
            raise
        return await self._end(app, name, copies, boxes)

    async def _begin(self, app: str, name: str, moves: list[list[str]]) -> tables.Publication:
        async with self._db.write() as c:
            found = await tables.publication(c, app, name)
            if found is None:
                await tables.begin_publication(c, app, name, moves)
        return found or tables.Publication(moves, None, None)

    async def _copies(self, source: str, target: str) -> tuple[list[Copy], Set[str]]:
        """And the keys that are at the target."""
        there = {stat.key: stat async for stat in self._store.list(target)}
        found = [(stat, target + stat.key.removeprefix(source)) async for stat in self._store.list(source)]
        return [Copy(stat, key, there.get(key)) for stat, key in found], there.keys()

    async def _refuse_clashes(self, copies: list[Copy], targets: list[str], there: Set[str]) -> None:
        """Raises Conflict when a file would be where a folder is, or the other way round. `there`: in the targets."""
        mine = {copy.target for copy in copies if box_of(copy.target)}
        above = {folder for name in mine for folder in folders_above(name)}
        unlisted = {folder for folder in above if not any(folder.startswith(target) for target in targets)}
        files = {folder for folder in unlisted if await self._store.stat(folder) is not None}
        if found := clash(mine, there | mine | files):
            raise _clash(*found)

    async def _recount(self, boxes: set[tuple[str, str]]) -> None:
        """Nobody noted what was copied before the publication broke off."""
        for owner in sorted(boxes):
            await self._quota.settle(*owner)

    async def _reserve(self, app: str, name: str, copies: list[Copy], boxes: set[tuple[str, str]]) -> None:
        for owner in sorted(boxes):
            mine = [copy for copy in copies if box_of(copy.target) == owner]
            size = sum(copy.source.size for copy in mine)
            replaced = sum(copy.replaced.size for copy in mine if copy.replaced)
            ask = Ask(*owner, _reservation(app, name, owner[1]), size, size, LIFETIME_S, replaced)
            await self._quota.reserve(ask)

    async def _undo(
        self, app: str, name: str, copies: list[Copy], boxes: set[tuple[str, str]], fresh: Sequence[str]
    ) -> None:
        """What somebody else has put there meanwhile stays."""
        sizes = {copy.target: copy.source.size for copy in copies}
        for key in fresh:
            found = await self._store.stat(key)
            if found is not None and found.size == sizes.get(key, found.size):
                await self._store.delete(key)
        for owner in sorted(boxes):
            await self._quota.settle(*owner, [_reservation(app, name, owner[1])])
        async with self._db.write() as c:
            await tables.forget_publication(c, app, name)

    async def _copy(self, app: str, name: str, copies: list[Copy]) -> None:
        """What was begun is waited for when another fails: a copy that comes later could not be undone."""
        todo, failed = iter(copies), list[Exception]()
        copying = (self._copy_some(app, name, todo, failed) for _ in range(min(COPIES, len(copies))))
        await asyncio.gather(*copying)
        if failed:
            raise failed[0]

    async def _copy_some(self, app: str, name: str, todo: Iterator[Copy], failed: list[Exception]) -> None:
        try:
            for copy in todo:
                if (app, name) in self._withdrawn:
                    raise Gone("this publication was withdrawn")
                if failed:
                    return
                if copy.replaced is None or copy.replaced.etag != copy.source.etag:
                    await self._store.copy(copy.source, copy.target)
        except Exception as error:  # noqa: BLE001  raised by who waits for all of them
            failed.append(error)

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


def _owners(moves: Sequence[Sequence[str]]) -> set[tuple[str, str]]:
    return {owner for _, target in moves if (owner := box_of(target))}


def clash(mine: Set[str], names: Set[str]) -> tuple[str, str] | None:
    """One of `mine` and what is in its way: of two among `names` one would be a file and a folder at once."""
    for name in sorted(names):
        for folder in folders_above(name):
            if folder in names and (name in mine or folder in mine):
                return (name, folder) if name in mine else (folder, name)
    return None


def _clash(key: str, other: str) -> Conflict:
    file, there = shown_key(key), shown_key(other)
    why = f"{file} cannot be stored: {there} is there, and a file and a folder cannot have the same name"
    return Conflict(why, file=file, in_the_way=there)


def _reservation(app: str, name: str, box: str) -> str:
    return f"publication:{app}/{box}/{name}"
