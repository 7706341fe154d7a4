"""Rows of idempotency keys: which run the first submission with a key has started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import and_, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.scheduler.db.tables import idempotency_keys

IDEMPOTENCY_TTL_S = 24 * 3600.0
"""How long a repeated submission with the same Idempotency-Key returns the first run."""


class IdempotencyKey(NamedTuple):
    """An Idempotency-Key belongs to one user and one path."""

    app: str
    user: str
    path: str
    key: str


class KeyedRequest(NamedTuple):
    """A submission with a key, and the run that it starts if it is the first one."""

    key: IdempotencyKey
    body_hash: str
    run: str


KEY_COLUMNS = tuple_(idempotency_keys.c.app, idempotency_keys.c.user, idempotency_keys.c.path, idempotency_keys.c.key)


async def insert_keys(conn: AsyncConnection, requests: Sequence[KeyedRequest], now: float) -> dict[IdempotencyKey, str]:
    """Insert the keys of requests; returns the run of each key that was free or expired."""
    if not requests:
        return {}
    ordered = sorted(requests, key=lambda request: request.key)  # all transactions lock keys in the same order
    first_requests = {request.key: request for request in reversed(ordered)}
    expired = and_(KEY_COLUMNS.in_(list(first_requests)), idempotency_keys.c.created_at <= now - IDEMPOTENCY_TTL_S)
    await conn.execute(delete(idempotency_keys).where(expired))
    statement = upsert(conn, idempotency_keys).values(
        [
            {**key._asdict(), "body_hash": request.body_hash, "run": request.run, "created_at": now}
            for key, request in first_requests.items()
        ]
    )
    inserted = await conn.execute(statement.on_conflict_do_nothing().returning(idempotency_keys))
    return {IdempotencyKey(row.app, row.user, row.path, row.key): row.run for row in inserted}


async def find_key(conn: AsyncConnection, key: IdempotencyKey) -> tuple[str, str] | None:
    """Hash of the body, and run, of the request that used the key; None when the key is free."""
    row = (
        await conn.execute(select(idempotency_keys.c.body_hash, idempotency_keys.c.run).where(KEY_COLUMNS.in_([key])))
    ).first()
    return (row.body_hash, row.run) if row else None


async def delete_key(conn: AsyncConnection, key: IdempotencyKey) -> None:
    await conn.execute(delete(idempotency_keys).where(KEY_COLUMNS.in_([key])))
