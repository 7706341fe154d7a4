"""The boxes of an app, for the scheduler, which declares them, and the registry, which shows them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from libs.common.store_keys import check_name
from services.databox import db as tables
from services.databox.dependencies import Given

router = APIRouter(prefix="/internal/apps/{ns}/boxes")


class Capacity(BaseModel):
    capacity: int = Field(ge=0, lt=2**63)


class Declared(BaseModel):
    boxes: dict[str, Capacity]


@router.put("", status_code=204)
async def declare(ns: str, declared: Declared, parts: Given) -> None:
    check_name("app", ns)
    capacities = {check_name("box", name): one.capacity for name, one in declared.boxes.items()}
    async with parts.database.write() as c:
        await tables.declare(c, ns, capacities)


@router.get("")
async def shown(ns: str, parts: Given) -> dict[str, Any]:
    async with parts.database.read() as c:
        found = await tables.boxes_of(c, ns)
    return {"items": [await _shown(ns, box, parts) for box in found]}


async def _shown(ns: str, box: tables.Box, parts: Given) -> dict[str, Any]:
    use = await parts.quota.use(ns, box)
    return {
        "name": box.name,
        "capacity": box.capacity,
        "used": use.used,
        "reserved": use.reserved,
        "detached": box.detached,
    }
