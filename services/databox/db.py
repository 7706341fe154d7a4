"""Tables of databox: boxes with their capacity, reservations, the journal of publications. Files are in the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
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

from libs.common.db import Json, database_time, upsert
from libs.common.protocol.publication import PublicationResult

metadata = MetaData()

boxes = Table(
    "databox_boxes",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("capacity", BigInteger, nullable=False),
    Column("detached", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
)
reservations = Table(
    "databox_reservations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("app", String(63), nullable=False),
    Column("box", String(63), nullable=False),
    Column("key", Text),
    Column("size", BigInteger, nullable=False),
    Column("old_version", Text),
    Column("expires_at", Double, nullable=False),
    Index("databox_reservations_box", "app", "box"),
)
publications = Table(
    "databox_publications",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("id", String(255), primary_key=True),
    Column("moves", Json, nullable=False),
    Column("created_keys", Json),
    Column("result", Json),
    Column("created_at", Double, nullable=False),
)


@dataclass(frozen=True)
class Box:
    name: str
    capacity: int
    detached: bool
    version: int
    """Incremented whenever databox changes the content; usage counted at the same version is still valid."""


@dataclass(frozen=True)
class Reservation:
    """Bytes reserved for an upload. With `key` for one file, stored when its version is no longer `old_version`."""

    id: str
    app: str
    box: str
    key: str | None
    size: int
    old_version: str | None
    expires_at: float


@dataclass(frozen=True)
class Publication:
    """A publication and its progress.

    `moves`: keys of folders, source and target. `created_keys`: target keys that did not exist before; None until they
    are known. `result`: None until everything is copied.
    """

    moves: list[list[str]]
    created_keys: list[str] | None
    result: PublicationResult | None


async def declare_boxes(conn: AsyncConnection, app: str, capacities: Mapping[str, int]) -> None:
    """Create or resize these boxes; detach all other boxes of the app."""
    detach = update(boxes).where(boxes.c.app == app, boxes.c.name.not_in(capacities))
    await conn.execute(detach.values(detached=True))
    for name, capacity in sorted(capacities.items()):
        row = {"app": app, "name": name, "capacity": capacity, "detached": False, "version": 0}
        changes = {"capacity": capacity, "detached": False}
        await conn.execute(
            upsert(conn, boxes).values(row).on_conflict_do_update(index_elements=["app", "name"], set_=changes)
        )


async def list_boxes(conn: AsyncConnection, app: str) -> list[Box]:
    rows = await conn.execute(select(boxes).where(boxes.c.app == app).order_by(boxes.c.name))
    return [Box(row.name, row.capacity, row.detached, row.version) for row in rows]


async def get_box(conn: AsyncConnection, app: str, name: str, *, lock: bool = False) -> Box | None:
    """With `lock`, no other transaction reserves bytes in the box until this one ends."""
    query = select(boxes).where(boxes.c.app == app, boxes.c.name == name)
    row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
    return None if row is None else Box(row.name, row.capacity, row.detached, row.version)


async def bump_version(conn: AsyncConnection, app: str, name: str) -> int:
    """Increment the box's version; returns the new one, 0 if the box does not exist."""
    this_box = (boxes.c.app == app, boxes.c.name == name)
    await conn.execute(update(boxes).where(*this_box).values(version=boxes.c.version + 1))
    return int((await conn.execute(select(boxes.c.version).where(*this_box))).scalar() or 0)


async def sum_reserved_bytes(conn: AsyncConnection, app: str, name: str, excluded_ids: Collection[str] = ()) -> int:
    """Bytes that are reserved in the box now, without those of `excluded_ids`."""
    total = select(func.coalesce(func.sum(reservations.c.size), 0)).where(
        reservations.c.app == app,
        reservations.c.box == name,
        reservations.c.expires_at > await database_time(conn),
        reservations.c.id.not_in(excluded_ids),
    )
    return int((await conn.execute(total)).scalar_one())


async def list_key_reservations(conn: AsyncConnection, app: str, name: str) -> list[Reservation]:
    """The reservations of the box that belong to one file each."""
    this_box = (reservations.c.app == app, reservations.c.box == name)
    rows = await conn.execute(select(reservations).where(*this_box, reservations.c.key.is_not(None)))
    return [Reservation(row.id, app, name, row.key, row.size, row.old_version, row.expires_at) for row in rows]


async def upsert_reservation(conn: AsyncConnection, reservation: Reservation) -> None:
    row = asdict(reservation)
    await conn.execute(upsert(conn, reservations).values(row).on_conflict_do_update(index_elements=["id"], set_=row))


async def delete_reservations(conn: AsyncConnection, ids: Sequence[str]) -> None:
    await conn.execute(delete(reservations).where(reservations.c.id.in_(ids)))


async def get_publication(conn: AsyncConnection, app: str, name: str) -> Publication | None:
    query = select(publications).where(publications.c.app == app, publications.c.id == name)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        return None
    result = None if row.result is None else PublicationResult.model_validate(row.result)
    return Publication(row.moves, row.created_keys, result)


async def insert_publication(conn: AsyncConnection, app: str, name: str, moves: list[list[str]]) -> None:
    row = {
        "app": app,
        "id": name,
        "moves": moves,
        "created_keys": None,
        "result": None,
        "created_at": await database_time(conn),
    }
    await conn.execute(insert(publications).values(row))


async def update_publication(conn: AsyncConnection, app: str, name: str, **values: Any) -> None:
    this_publication = (publications.c.app == app, publications.c.id == name)
    await conn.execute(update(publications).where(*this_publication).values(**values))


async def delete_publication(conn: AsyncConnection, app: str, name: str) -> None:
    await conn.execute(delete(publications).where(publications.c.app == app, publications.c.id == name))


async def delete_expired(conn: AsyncConnection, publications_s: float) -> None:
    """Delete expired reservations, and publications older than `publications_s` seconds."""
    now = await database_time(conn)
    await conn.execute(delete(reservations).where(reservations.c.expires_at <= now))
    await conn.execute(delete(publications).where(publications.c.created_at < now - publications_s))
