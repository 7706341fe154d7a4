"""Publications: copy folders to their final location, all or nothing. Idempotent by id.

A row of the journal is written first; the next call with the same id completes an interrupted publication.
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
from libs.common.protocol.publication import FileTotals, Move, PublicationResult
from libs.common.store_keys import box_of_key, display_key, enclosing_folders, location_key
from services.databox import db
from services.databox.change_publisher import BoxChangePublisher
from services.databox.files.quota import Quota, ReservationRequest
from services.databox.store import Stat, Store

MAX_CONCURRENT_COPIES = 8
"""Files copied at the same time."""
RESERVATION_LIFETIME_S = 24 * 3600.0
"""How long the bytes of an interrupted publication stay reserved."""
RETENTION_S = 30 * 24 * 3600.0
"""How long a repeated call returns the first result."""
FINAL_ERRORS = (Conflict, Forbidden, Gone, Invalid, NotFound, TooLarge)
"""Errors that a retry would repeat: the publication is rolled back."""


@dataclass(frozen=True)
class FileCopy:
    source: Stat
    target: str
    replaced: Stat | None


class Publications:
    def __init__(self, database: Database, store: Store, quota: Quota, changes: BoxChangePublisher) -> None:
        self._db = database
        self._store = store
        self._quota = quota
        self._changes = changes
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._withdrawn: set[tuple[str, str]] = set()

    async def publish(self, app: str, name: str, moves: Sequence[Move]) -> PublicationResult:
        """Number and size of the copied files.

        Raises one of FINAL_ERRORS after a roll-back: TooLarge if the files do not fit; Conflict, with the `file` and
        the path `in_the_way`, if a file and a folder have the same name.
        """
        async with self._lock_publication(app, name):
            return await self._publish_locked(app, name, list(_folder_moves(app, moves)))

    async def withdraw(self, app: str, name: str) -> None:
        """Cancel and roll back: delete the copies, except those that replaced a file. Idempotent."""
        self._withdrawn.add((app, name))
        try:
            async with self._lock_publication(app, name):
                async with self._db.read() as conn:
                    journal = await db.get_publication(conn, app, name)
                if journal is not None:
                    copies, _ = await self._plan_copies(journal.moves)
                    await self._roll_back(app, name, copies, _target_boxes(journal.moves), journal.created_keys or ())
        finally:
            self._withdrawn.discard((app, name))

    @asynccontextmanager
    async def _lock_publication(self, app: str, name: str) -> AsyncIterator[None]:
        lock = self._locks[app, name]
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._locks.pop((app, name), None)

    async def _publish_locked(self, app: str, name: str, folders: list[tuple[str, str]]) -> PublicationResult:
        journal = await self._load_or_insert(app, name, [[source, target] for source, target in folders])
        if journal.result is not None:
            return journal.result
        copies, existing_keys = await self._plan_copies(journal.moves)
        boxes, created_keys = _target_boxes(journal.moves), journal.created_keys
        try:
            targets = [target for _, target in journal.moves]
            await self._refuse_clashes(copies, targets, existing_keys)
            if created_keys is not None:
                await self._refresh_usage(boxes)
            await self._reserve_space(app, name, copies, boxes)
            if created_keys is None:
                created_keys = [copy.target for copy in copies if copy.replaced is None]
                await self._update_journal(app, name, created_keys=created_keys)
            await self._copy_files(app, name, copies)
        except FINAL_ERRORS:
            await self._roll_back(app, name, copies, boxes, created_keys or ())
            raise
        return await self._finish_publication(app, name, copies, boxes)

    async def _load_or_insert(self, app: str, name: str, moves: list[list[str]]) -> db.Publication:
        async with self._db.write() as conn:
            publication = await db.get_publication(conn, app, name)
            if publication is None:
                await db.insert_publication(conn, app, name, moves)
        return publication or db.Publication(moves, None, None)

    async def _plan_copies(self, moves: Sequence[Sequence[str]]) -> tuple[list[FileCopy], set[str]]:
        """The copies to make, and the keys that are in the target folders already."""
        copies, existing_keys = list[FileCopy](), set[str]()
        for source, target in moves:
            existing = {stat.key: stat async for stat in self._store.list(target)}
            existing_keys |= existing.keys()
            async for stat in self._store.list(source):
                key = target + stat.key.removeprefix(source)
                copies.append(FileCopy(stat, key, existing.get(key)))
        return copies, existing_keys

    async def _refuse_clashes(self, copies: list[FileCopy], targets: list[str], existing_keys: Set[str]) -> None:
        """Raises Conflict if a file would replace a folder, or a folder a file."""
        new_keys = {copy.target for copy in copies if box_of_key(copy.target)}
        parent_folders = {folder for name in new_keys for folder in enclosing_folders(name)}
        unlisted = {folder for folder in parent_folders if not any(folder.startswith(target) for target in targets)}
        files = {folder for folder in unlisted if await self._store.stat(folder) is not None}
        if key_pair := find_clash(new_keys, existing_keys | new_keys | files):
            raise _clash_error(*key_pair)

    async def _refresh_usage(self, boxes: set[tuple[str, str]]) -> None:
        """An interrupted publication did not record its copies: discard the counted usage."""
        for owner in sorted(boxes):
            await self._quota.commit(*owner)

    async def _reserve_space(self, app: str, name: str, copies: list[FileCopy], boxes: set[tuple[str, str]]) -> None:
        for owner in sorted(boxes):
            copies_into_box = [copy for copy in copies if box_of_key(copy.target) == owner]
            size = sum(copy.source.size for copy in copies_into_box)
            replaced = sum(copy.replaced.size for copy in copies_into_box if copy.replaced)
            request = ReservationRequest(
                *owner,
                id=_reservation_id(app, name, owner[1]),
                min_bytes=size,
                max_bytes=size,
                lifetime=RESERVATION_LIFETIME_S,
                replaced_bytes=replaced,
            )
            await self._quota.reserve(request)

    async def _roll_back(
        self, app: str, name: str, copies: list[FileCopy], boxes: set[tuple[str, str]], created_keys: Sequence[str]
    ) -> None:
        """Delete the created files, except those that another upload has replaced since."""
        sizes = {copy.target: copy.source.size for copy in copies}
        for key in created_keys:
            stat = await self._store.stat(key)
            if stat is not None and stat.size == sizes.get(key, stat.size):
                await self._store.delete(key)
        for owner in sorted(boxes):
            await self._quota.commit(*owner, [_reservation_id(app, name, owner[1])])
        async with self._db.write() as conn:
            await db.delete_publication(conn, app, name)

    async def _copy_files(self, app: str, name: str, copies: list[FileCopy]) -> None:
        """Waits for running copies if one fails: a copy that completes later could not be rolled back."""
        pending, errors = iter(copies), list[Exception]()
        workers = (
            self._copy_pending(app, name, pending, errors) for _ in range(min(MAX_CONCURRENT_COPIES, len(copies)))
        )
        await asyncio.gather(*workers)
        if errors:
            raise errors[0]

    async def _copy_pending(self, app: str, name: str, pending: Iterator[FileCopy], errors: list[Exception]) -> None:
        try:
            for copy in pending:
                if (app, name) in self._withdrawn:
                    raise Gone("this publication was withdrawn")
                if errors:
                    return
                if copy.replaced is None or copy.replaced.etag != copy.source.etag:
                    await self._store.copy(copy.source, copy.target)
        except Exception as error:  # noqa: BLE001  _copy_files raises it after all have ended
            errors.append(error)

    async def _finish_publication(
        self, app: str, name: str, copies: list[FileCopy], boxes: set[tuple[str, str]]
    ) -> PublicationResult:
        totals = FileTotals(number=len(copies), bytes=sum(copy.source.size for copy in copies))
        result = PublicationResult(files=totals)
        for owner in sorted(boxes):
            await self._quota.commit(*owner, [_reservation_id(app, name, owner[1])])
            self._changes.mark_changed(*owner)
        await self._update_journal(app, name, result=result.to_json())
        return result

    async def _update_journal(self, app: str, name: str, **values: Any) -> None:
        async with self._db.write() as conn:
            await db.update_publication(conn, app, name, **values)


def _folder_moves(app: str, moves: Sequence[Move]) -> Iterator[tuple[str, str]]:
    for move in moves:
        keys = location_key(app, move.source), location_key(app, move.target)
        if not all(key.endswith("/") for key in keys):
            raise Invalid(f"{move.source} to {move.target}: only folders are published")
        yield keys


def _target_boxes(moves: Sequence[Sequence[str]]) -> set[tuple[str, str]]:
    return {owner for _, target in moves if (owner := box_of_key(target))}


def find_clash(new_keys: Set[str], all_keys: Set[str]) -> tuple[str, str] | None:
    """A new key and the key in its way, where one name would be both a file and a folder; None if there is none."""
    for name in sorted(all_keys):
        for folder in enclosing_folders(name):
            if folder in all_keys and (name in new_keys or folder in new_keys):
                return (name, folder) if name in new_keys else (folder, name)
    return None


def _clash_error(key: str, other: str) -> Conflict:
    file, obstacle = display_key(key), display_key(other)
    detail = f"{file} cannot be stored: {obstacle} exists, and a file and a folder cannot have the same name"
    return Conflict(detail, file=file, in_the_way=obstacle)


def _reservation_id(app: str, name: str, box: str) -> str:
    return f"publication:{app}/{box}/{name}"
