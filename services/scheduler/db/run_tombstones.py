"""Tombstones: rows of deleted runs, for 410 instead of 404 and for the files that are still to delete."""

from __future__ import annotations

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.db.tables import cache_uses, tombstones
from services.scheduler.model.run_tombstone import Cleanup, Tombstone


async def add_tombstone(conn: AsyncConnection, tombstone: Tombstone) -> None:
    await conn.execute(insert(tombstones), [{**tombstone.__dict__, "cleanup": tombstone.cleanup.to_json()}])


async def has_tombstone(conn: AsyncConnection, app: str, run: str) -> bool:
    query = select(tombstones.c.run).where(tombstones.c.run == run, tombstones.c.app == app)
    return (await conn.execute(query)).first() is not None


async def list_pending_cleanup(conn: AsyncConnection, limit: int) -> list[Tombstone]:
    """Tombstones with files to delete that no other run uses from the stage cache."""
    in_use = exists().where(cache_uses.c.source == tombstones.c.run)
    query = (
        select(tombstones)
        .where(tombstones.c.cleanup.is_not(None), ~in_use)
        .order_by(tombstones.c.deleted_at)
        .limit(limit)
    )
    return [
        Tombstone(**{**row, "cleanup": Cleanup.from_json(row["cleanup"])})
        for row in (await conn.execute(query)).mappings()
    ]


async def mark_cleaned(conn: AsyncConnection, run: str) -> None:
    await conn.execute(update(tombstones).where(tombstones.c.run == run).values(cleanup=None))


async def delete_older(conn: AsyncConnection, cutoff: float) -> None:
    await conn.execute(delete(tombstones).where(tombstones.c.deleted_at < cutoff, tombstones.c.cleanup.is_(None)))
