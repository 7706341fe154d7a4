"""The routing table, for gateways, and what they say of their calls."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from starlette.responses import JSONResponse

from services.scheduler import notifications
from services.scheduler.callbacks import credentials
from services.scheduler.components import load_reports
from services.scheduler.db import counters, routes
from services.scheduler.dependencies import Parts
from services.scheduler.routes.dependencies import TheParts

MAX_WAIT_S = 60.0
router = APIRouter(prefix="/internal")


@router.get("/table")
async def table(parts: TheParts, since: int = -1, wait: float = 0.0) -> Response:
    """What changed after version `since`, waited for; everything for who has none (-1) or one that never was."""
    left = min(wait, MAX_WAIT_S)
    with parts.bells.listen(notifications.TABLE) as bell:
        while True:
            async with parts.db.read() as c:
                full = since < 0 or since > await counters.get_counter(c, "table")
                version, documents = await routes.list_routes_since(c, 0 if full else since)
            if full or version > since:
                return JSONResponse({"version": version, "full": full, "apps": _shown(parts, documents)})
            if left <= 0 or parts.bells.closed:
                return Response(status_code=304)
            pause = min(left, parts.look_again)
            await bell.wait(pause)
            left -= pause


def _shown(parts: Parts, documents: dict[str, Any]) -> dict[str, Any]:
    token = parts.settings.internal_token
    return {name: app and credentials.with_tokens(token, app) for name, app in documents.items()}


@router.post("/loads", status_code=204)
async def loads(parts: TheParts, said: load_reports.Loads) -> None:
    await load_reports.heard(parts, said)
