"""`/api/v1/apps/{ns}/components`: states, reasons, instances, logs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from services.scheduler import components, leases
from services.scheduler.db import tasks
from services.scheduler.routes.parts import TheCaller, TheParts

CHUNK = 65536
router = APIRouter(prefix="/api/v1/apps/{ns}/components")


@router.get("")
async def listing(parts: TheParts, caller: TheCaller, ns: str) -> dict[str, Any]:
    caller.require("read", ns)
    return {"items": await components.listed(parts, ns), "next": None}


@router.get("/{name}")
async def show(parts: TheParts, caller: TheCaller, ns: str, name: str) -> dict[str, Any]:
    caller.require("read", ns)
    return await components.one(parts, ns, name)


@router.get("/{name}/logs")
async def logs(parts: TheParts, caller: TheCaller, ns: str, name: str, follow: bool = False) -> Response:
    """The log of the newest instance that has started."""
    caller.require("read", ns)
    async with parts.db.read() as c:
        task = await tasks.logged(c, ns, name)
    if task is None:
        await components.one(parts, ns, name)
        return Response(b"", media_type="text/plain; charset=utf-8")
    path = f"/internal/apps/{ns}/logs/{leases.instance_log(task)}"

    async def body() -> Any:
        async with parts.peers.databox.stream("GET", path, params={"offset": 0, "follow": int(follow)}) as answer:
            async for data in answer.content.iter_chunked(CHUNK):
                yield data

    return StreamingResponse(body(), media_type="text/plain; charset=utf-8")
