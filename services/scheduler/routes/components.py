"""`/api/v1/apps/{ns}/components`: states, reasons, instances, logs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from services.scheduler.components import reconciler, status
from services.scheduler.db import tasks
from services.scheduler.routes.dependencies import TheCaller, TheParts
from services.scheduler.runs.logs import of_instance

router = APIRouter(prefix="/api/v1/apps/{ns}/components")


@router.get("")
async def listing(parts: TheParts, caller: TheCaller, ns: str) -> dict[str, Any]:
    caller.require("read", ns)
    return {"items": await status.listed(parts, ns), "next": None}


@router.get("/{name}")
async def show(parts: TheParts, caller: TheCaller, ns: str, name: str) -> dict[str, Any]:
    caller.require("read", ns)
    return await status.one(parts, ns, name)


@router.post("/{name}/restart", status_code=202)
async def restart(parts: TheParts, caller: TheCaller, ns: str, name: str) -> dict[str, Any]:
    """New instances of the same deployment, with the model as it is now; the old ones serve until those are healthy."""
    caller.require("write", ns)
    await status.one(parts, ns, name)
    await reconciler.restart(parts, ns, name)
    return await status.one(parts, ns, name)


@router.get("/{name}/logs")
async def logs(parts: TheParts, caller: TheCaller, ns: str, name: str, follow: bool = False) -> Response:
    """The log of the newest instance that has started."""
    caller.require("read", ns)
    async with parts.db.read() as c:
        task = await tasks.find_newest_started(c, ns, name)
    if task is None:
        await status.one(parts, ns, name)
        return Response(b"", media_type="text/plain; charset=utf-8")
    found = of_instance(parts, task, follow=follow)
    return StreamingResponse(found, media_type="text/plain; charset=utf-8")
