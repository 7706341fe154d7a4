"""Rows of callbacks and of their deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.db import due_conditions
from services.scheduler.db.tables import callbacks, deliveries
from services.scheduler.model.callback import Callback, CallbackRequest, Delivery

HAS_OPEN = select(exists().where(callbacks.c.open) | exists().where(deliveries.c.state == "pending"))


def callback_to_row(callback: Callback) -> dict[str, Any]:
    return {**callback.__dict__, "spec": callback.spec.to_json()}


def callback_from_row(row: RowMapping) -> Callback:
    return Callback(**{**row, "spec": CallbackRequest.from_json(row["spec"])})


async def get(conn: AsyncConnection, run: str, *, lock: bool = False) -> Callback | None:
    query = select(callbacks).where(callbacks.c.run == run)
    row = (await conn.execute(query.with_for_update() if lock else query)).mappings().first()
    return callback_from_row(row) if row else None


async def has_open(conn: AsyncConnection) -> bool:
    """Whether a callback waits for events of its run, or a delivery to be sent, now or later."""
    return bool((await conn.execute(HAS_OPEN)).scalar_one())


async def list_changed(conn: AsyncConnection, limit: int) -> list[Callback]:
    """Callbacks whose run has a newer version than the one checked last."""
    query = select(callbacks).select_from(due_conditions.CALLBACKS_WITH_RUN).where(due_conditions.RUN_CHANGED)
    return [callback_from_row(row) for row in (await conn.execute(query.limit(limit))).mappings()]


async def reopen_callback(conn: AsyncConnection, run: str) -> None:
    """A run that had ended goes on."""
    await conn.execute(update(callbacks).where(callbacks.c.run == run).values(open=True))


async def update_callback(conn: AsyncConnection, callback: Callback) -> None:
    await conn.execute(update(callbacks).where(callbacks.c.run == callback.run).values(**callback_to_row(callback)))


async def add_delivery(conn: AsyncConnection, delivery: Delivery) -> None:
    await conn.execute(insert(deliveries), [delivery.__dict__])


async def list_due_deliveries(conn: AsyncConnection, now: float, limit: int) -> list[Delivery]:
    query = select(deliveries).where(due_conditions.delivery_due(now))
    return [
        Delivery(**row) for row in (await conn.execute(query.order_by(deliveries.c.next_at).limit(limit))).mappings()
    ]


async def list_deliveries(conn: AsyncConnection, run: str) -> list[Delivery]:
    query = select(deliveries).where(deliveries.c.run == run).order_by(deliveries.c.created_at, deliveries.c.id)
    return [Delivery(**row) for row in (await conn.execute(query)).mappings()]


async def update_delivery(conn: AsyncConnection, delivery_id: str, columns: Mapping[str, Any]) -> None:
    await conn.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(**columns))
