"""The callback sender: turns changes of runs into deliveries and sends them until the receiver accepts one."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable
from dataclasses import replace

import aiohttp
import orjson

from libs.common.db import Database, database_time
from libs.common.http.public_client import PublicHttpClient
from libs.common.periodic_task import for_each
from libs.common.settings import Settings
from services.scheduler import credential_encryption
from services.scheduler.callbacks import cloud_events, delivery_transitions, signing
from services.scheduler.db import Connection, callbacks
from services.scheduler.db import runs as run_rows
from services.scheduler.loop_triggers import LoopTriggers
from services.scheduler.model.callback import Callback, Delivery
from services.scheduler.model.run import Run
from services.scheduler.runs import queries

MAX_BATCH = 64
"""Callbacks, and deliveries, of one pass."""


async def send_callbacks(
    db: Database, public_http: PublicHttpClient, triggers: LoopTriggers, settings: Settings
) -> None:
    """One pass. An error while enqueueing does not delay deliveries."""
    async with db.read() as conn:
        if not await callbacks.has_open(conn):
            return  # as in nearly every pass: each change of a stage asks for one
    steps = {
        "enqueue": lambda: _enqueue_changed(db, triggers, settings),
        "deliver": lambda: _deliver_due(db, public_http, triggers, settings),
    }
    await for_each(steps, lambda name: steps[name]())


async def _enqueue_changed(db: Database, triggers: LoopTriggers, settings: Settings) -> None:
    async with db.read() as conn:
        changed = await callbacks.list_changed(conn, MAX_BATCH)
    await for_each((callback.run for callback in changed), lambda run: _enqueue_events(db, settings, run))
    if len(changed) == MAX_BATCH:
        triggers.callbacks.wake()


async def _deliver_due(db: Database, public_http: PublicHttpClient, triggers: LoopTriggers, settings: Settings) -> None:
    async with db.read() as conn:
        due = await callbacks.list_due_deliveries(conn, await database_time(conn), MAX_BATCH)
    await asyncio.gather(*(_deliver_once(db, public_http, triggers, settings, delivery) for delivery in due))
    if len(due) == MAX_BATCH:
        triggers.callbacks.wake()


async def _enqueue_events(db: Database, settings: Settings, run_id: str) -> None:
    """Insert deliveries for the run's new events and record, in the same transaction, that they were enqueued."""
    async with db.write() as conn:
        now = await database_time(conn)
        callback = await callbacks.get(conn, run_id, lock=True)
        run = await run_rows.get(conn, callback.app, run_id) if callback else None
        if callback is None or run is None:
            return
        new_events = delivery_transitions.due_events(callback, run)
        if new_events:
            await _add_deliveries(conn, run, new_events.values(), settings.public_url, now)
        encrypted = credential_encryption.encrypt_headers(settings.internal_token, run_id, callback.spec)
        checked = replace(
            callback,
            enqueued_events=[*callback.enqueued_events, *new_events],
            checked_version=run.version,
            open=not run.is_final,
            spec=encrypted,  # rows of version 0.1 have plain headers
        )
        await callbacks.update_callback(conn, checked)


async def _add_deliveries(conn: Connection, run: Run, new_events: Iterable[str], public_url: str, now: float) -> None:
    run_json = await queries.load_run_json(conn, run)
    for event in new_events:
        delivery_id = f"m_{secrets.token_hex(10)}"
        body = orjson.dumps(cloud_events.build_cloud_event(delivery_id, run, event, run_json, public_url)).decode()
        delivery = Delivery(id=delivery_id, run=run.id, event=event, body=body, next_at=now, created_at=now)
        await callbacks.add_delivery(conn, delivery)


async def _deliver_once(
    db: Database, public_http: PublicHttpClient, triggers: LoopTriggers, settings: Settings, delivery: Delivery
) -> None:
    async with db.read() as conn:
        callback = await callbacks.get(conn, delivery.run)
    if callback is None:
        return
    started = time.monotonic()
    status, error = await _post_delivery(public_http, settings, callback, delivery)
    seconds = time.monotonic() - started
    async with db.write() as conn:
        now = await database_time(conn)
        columns = delivery_transitions.delivery_after_attempt(delivery, status, error, seconds, now)
        await callbacks.update_delivery(conn, delivery.id, columns)
    if columns["next_at"] is not None:
        asyncio.get_running_loop().call_later(columns["next_at"] - now, triggers.callbacks.wake)


async def _post_delivery(
    public_http: PublicHttpClient, settings: Settings, callback: Callback, delivery: Delivery
) -> tuple[int | None, str | None]:
    body = delivery.body.encode()
    key = signing.signing_secret(settings.internal_token, callback.app, callback.user, callback.run)
    try:
        headers = {
            **credential_encryption.decrypt_headers(settings.internal_token, callback.run, callback.spec),
            **signing.sign_delivery(key, delivery.id, int(time.time()), body),
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": "mlmesh",
        }
        status = (await public_http.send("POST", callback.spec.url, body, headers)).status
    except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as error:
        return None, (str(error) or type(error).__name__)[:500]
    return status, None if 200 <= status < 300 else f"receiver answered {status}"
