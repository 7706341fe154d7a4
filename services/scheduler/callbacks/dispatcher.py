"""Tells the callbacks of runs what has happened, again and again until they have heard it."""

from __future__ import annotations

import asyncio
import secrets
import time

import aiohttp
import orjson

from libs.common.db import clock
from libs.common.periodic_task import for_each
from services.scheduler.callbacks import credentials, events
from services.scheduler.callbacks.events import Callback, Delivery
from services.scheduler.db import callbacks
from services.scheduler.db import runs as rows
from services.scheduler.dependencies import Parts
from services.scheduler.runs import queries

AT_ONCE = 64
"""Deliveries of one step."""


async def step(parts: Parts) -> None:
    """What cannot be noticed of one run holds no delivery up."""
    await for_each((_notice_all, _deliver_all), lambda half: half(parts), lambda half: half.__name__)


async def _notice_all(parts: Parts) -> None:
    async with parts.db.read() as c:
        found = await callbacks.list_changed(c, AT_ONCE)
    await for_each((one.run for one in found), lambda run: _notice(parts, run))
    if len(found) == AT_ONCE:
        parts.wakes.tell()


async def _deliver_all(parts: Parts) -> None:
    async with parts.db.read() as c:
        due = await callbacks.list_due_deliveries(c, await clock(c), AT_ONCE)
    await asyncio.gather(*(_deliver(parts, one) for one in due))
    if len(due) == AT_ONCE:
        parts.wakes.tell()


async def _notice(parts: Parts, run_id: str) -> None:
    """Make deliveries of what is to be told; in one transaction with the mark that it was made."""
    async with parts.db.write() as c:
        now = await clock(c)
        one = await callbacks.get(c, run_id, lock=True)
        run = await rows.get(c, one.app, run_id) if one else None
        if one is None or run is None:
            return
        due = events.due(one, run)
        shown = await queries.shown(c, run) if due else {}
        for event in due.values():
            identity = f"m_{secrets.token_hex(10)}"
            document = events.document(identity, run, event, shown, parts.settings.public_url)
            body = orjson.dumps(document).decode()
            fresh = Delivery(id=identity, run=run_id, event=event, body=body, next_at=now, created_at=now)
            await callbacks.add_delivery(c, fresh)
        spec = credentials.sealed(parts.settings.internal_token, run_id, one.spec)  # an earlier release did not
        told = {"told": [*one.told, *due], "version": run.version, "open": not run.is_final, "spec": spec}
        await callbacks.update_callback(c, run_id, told)


async def _deliver(parts: Parts, delivery: Delivery) -> None:
    async with parts.db.read() as c:
        one = await callbacks.get(c, delivery.run)
    if one is None:
        return
    began = time.monotonic()
    status, error = await _sent(parts, one, delivery)
    took = time.monotonic() - began
    async with parts.db.write() as c:
        now = await clock(c)
        columns = events.tried(delivery, status, error, took, now)
        await callbacks.update_delivery(c, delivery.id, columns)
    if columns["next_at"] is not None:
        asyncio.get_running_loop().call_later(columns["next_at"] - now, parts.wakes.tell)


async def _sent(parts: Parts, one: Callback, delivery: Delivery) -> tuple[int | None, str | None]:
    body = delivery.body.encode()
    key = events.secret(parts.settings.internal_token, one.app, one.user, one.run)
    try:
        headers = {
            **credentials.headers(parts.settings.internal_token, one.run, one.spec),
            **events.signed(key, delivery.id, int(time.time()), body),
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": "mlmesh",
        }
        status = await parts.outside.post(one.spec["url"], body, headers)
    except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as error:
        return None, (str(error) or type(error).__name__)[:500]
    return status, None if 200 <= status < 300 else f"it answered {status}"
