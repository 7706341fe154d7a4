"""What the registry asks about an app, and its removal."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from services.scheduler.components import reconciler, status
from services.scheduler.db import apps
from services.scheduler.routes.dependencies import TheParts

router = APIRouter(prefix="/internal")


@router.get("/apps/{ns}")
async def show(parts: TheParts, ns: str) -> dict[str, Any]:
    async with parts.db.read() as c:
        found = await apps.get(c, ns)
    listed = await status.listed(parts, ns) if found else []
    return {"deployment": found.deployment if found else None, "components": listed, "apis": status.apis(found)}


@router.delete("/apps/{ns}", status_code=204)
async def remove(parts: TheParts, ns: str) -> None:
    await reconciler.remove(parts, ns)
