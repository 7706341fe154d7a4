"""The tables of databox: capacities, reservations, the journal of publications. Files are in the store alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import Json, clock, upsert

metadata = MetaData()

boxes = Table(
    "databox_boxes",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("capacity", BigInteger, nullable=False),
    Column("detached", Boolean, nullable=False),
    Column("changes", BigInteger, nullable=False),
)
reservations = Table(
    "databox_reservations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("app", String(63), nullable=False),
    Column("box", String(63), nullable=False),
    Column("key", Text),
    Column("size", BigInteger, nullable=False),
    Column("before", Text),
    Column("expires_at", Double, nullable=False),
    Index("databox_reservations_box", "app", "box"),
)
publications = Table(
    "databox_publications",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("id", String(255), primary_key=True),
    Column("moves", Json, nullable=False),
    Column("fresh", Json),
    Column("answer", Json),
    Column("created_at", Double, nullable=False),
)


@dataclass(frozen=True)
class Box:
    name: str
    capacity: int
    detached: bool
    changes: int
    """Grows whenever databox changed what is in the box: a figure counted at the same number is still good."""


@dataclass(frozen=True)
class Reservation:
    """Room for a file that is on its way. `before` is the mark of what had the `key` when a link was given out."""

    id: str
    app: str
    box: str
    key: str | None
    size: int
    before: str | None
    expires_at: float


@dataclass(frozen=True)
class Publication:
    """What was asked for and how far it is.

    `moves`: keys of folders, source and target. `fresh`: the targets that did not exist before; None until that is
    known. `answer`: None until all is copied.
    """

    moves: list[list[str]]
    fresh: list[str] | None
    answer: dict[str, Any] | None


async def declare(c: AsyncConnection, app: str, capacities: Mapping[str, int]) -> None:
    """Make and resize these boxes; the app's others are detached."""
    gone = update(boxes).where(boxes.c.app == app, boxes.c.name.not_in(capacities))
    await c.execute(gone.values(detached=True))
    for name, capacity in sorted(capacities.items()):
        row = {"app": app, "name": name, "capacity": capacity, "detached": False, "changes": 0}
        kept = {"capacity": capacity, "detached": False}
        await c.execute(upsert(c, boxes).values(row).on_conflict_do_update(index_elements=["app", "name"], set_=kept))


async def boxes_of(c: AsyncConnection, app: str) -> list[Box]:
    found = await c.execute(select(boxes).where(boxes.c.app == app).order_by(boxes.c.name))
    return [Box(row.name, row.capacity, row.detached, row.changes) for row in found]


async def box(c: AsyncConnection, app: str, name: str, *, lock: bool = False) -> Box | None:
    """With `lock`, nobody else reserves room in the box until the transaction ends."""
    query = select(boxes).where(boxes.c.app == app, boxes.c.name == name)
    row = (await c.execute(query.with_for_update() if lock else query)).one_or_none()
    return None if row is None else Box(row.name, row.capacity, row.detached, row.changes)


async def changed(c: AsyncConnection, app: str, name: str) -> int:
    """Note that the box's content changed; the new number of changes, 0 when there is no such box."""
    mine = (boxes.c.app == app, boxes.c.name == name)
    await c.execute(update(boxes).where(*mine).values(changes=boxes.c.changes + 1))
    return int((await c.execute(select(boxes.c.changes).where(*mine))).scalar() or 0)


async def reserved(c: AsyncConnection, app: str, name: str, without: Sequence[str] = ()) -> int:
    """Bytes reserved in the box at this time, not counting the reservations `without`."""
    total = select(func.coalesce(func.sum(reservations.c.size), 0)).where(
        reservations.c.app == app,
        reservations.c.box == name,
        reservations.c.expires_at > await clock(c),
        reservations.c.id.not_in(without),
    )
    return int((await c.execute(total)).scalar_one())


async def promised(c: AsyncConnection, app: str, name: str) -> dict[str, str | None]:
    """Keys that links were given out for with a reservation, and the mark of what was there before."""
    query = select(reservations.c.key, reservations.c.before).where(
        reservations.c.app == app, reservations.c.box == name, reservations.c.key.is_not(None)
    )
    return {row.key: row.before for row in await c.execute(query)}


async def reserve(c: AsyncConnection, wanted: Reservation) -> None:
    row = {**wanted.__dict__}
    await c.execute(upsert(c, reservations).values(row).on_conflict_do_update(index_elements=["id"], set_=row))


async def release(c: AsyncConnection, ids: Sequence[str]) -> None:
    await c.execute(delete(reservations).where(reservations.c.id.in_(ids)))


async def publication(c: AsyncConnection, app: str, name: str) -> Publication | None:
    query = select(publications).where(publications.c.app == app, publications.c.id == name)
    row = (await c.execute(query)).one_or_none()
    return None if row is None else Publication(row.moves, row.fresh, row.answer)


async def begin_publication(c: AsyncConnection, app: str, name: str, moves: list[list[str]]) -> None:
    row = {"app": app, "id": name, "moves": moves, "fresh": None, "answer": None, "created_at": await clock(c)}
    await c.execute(insert(publications).values(row))


async def note_publication(c: AsyncConnection, app: str, name: str, **values: Any) -> None:
    mine = (publications.c.app == app, publications.c.id == name)
    await c.execute(update(publications).where(*mine).values(**values))


async def forget_publication(c: AsyncConnection, app: str, name: str) -> None:
    await c.execute(delete(publications).where(publications.c.app == app, publications.c.id == name))


async def prune(c: AsyncConnection, publications_s: float) -> None:
    """Remove reservations that are over and publications older than this."""
    now = await clock(c)
    await c.execute(delete(reservations).where(reservations.c.expires_at <= now))
    await c.execute(delete(publications).where(publications.c.created_at < now - publications_s))
