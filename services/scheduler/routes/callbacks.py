"""What a run's callback was told, and telling it again."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from libs.common.db import clock
from libs.common.errors import NotFound
from services.scheduler.callbacks import events
from services.scheduler.db import callbacks
from services.scheduler.routes.dependencies import TheParts
from services.scheduler.routes.runs import TheScope, checked

router = APIRouter()


@router.get("/internal/apps/{ns}/runs/{run_id}/deliveries")
@router.get("/api/v1/apps/{ns}/runs/{run_id}/deliveries")
async def listing(parts: TheParts, mine: TheScope, run_id: str) -> dict[str, Any]:
    await checked(parts, mine, run_id)
    async with parts.db.read() as c:
        told = await callbacks.get(c, run_id)
        found = await callbacks.list_deliveries(c, run_id)
    key = parts.settings.internal_token
    secret = events.secret(key, told.app, told.user, told.run) if told and mine.user else None
    described = events.described(told.spec, secret) if told else None
    return {"items": [events.shown(one) for one in found], "next": None, "callback": described}


@router.post("/internal/apps/{ns}/runs/{run_id}/deliveries/{delivery}/redeliver", status_code=202)
@router.post("/api/v1/apps/{ns}/runs/{run_id}/deliveries/{delivery}/redeliver", status_code=202)
async def redeliver(parts: TheParts, mine: TheScope, run_id: str, delivery: str) -> dict[str, Any]:
    """At once, whatever became of it before; it keeps its id."""
    await checked(parts, mine, run_id)
    async with parts.db.write() as c:
        now = await clock(c)
        if delivery not in [one.id for one in await callbacks.list_deliveries(c, run_id)]:
            raise NotFound(f"no delivery {delivery}")
        await callbacks.update_delivery(c, delivery, {"state": "pending", "next_at": now})
        found = next(one for one in await callbacks.list_deliveries(c, run_id) if one.id == delivery)
    parts.wakes.tell()
    return events.shown(found)
