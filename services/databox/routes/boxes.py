"""Boxes of an app: the scheduler declares them, the registry lists them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from libs.common.store_keys import check_name
from services.databox import db
from services.databox.dependencies import DependenciesDep

router = APIRouter(prefix="/internal/apps/{ns}/boxes")


class Capacity(BaseModel):
    capacity: int = Field(ge=0, lt=2**63)


class BoxDeclaration(BaseModel):
    boxes: dict[str, Capacity]


@router.put("", status_code=204)
async def declare_boxes(ns: str, declaration: BoxDeclaration, deps: DependenciesDep) -> None:
    check_name("app", ns)
    capacities = {check_name("box", name): box.capacity for name, box in declaration.boxes.items()}
    async with deps.database.write() as conn:
        await db.declare_boxes(conn, ns, capacities)


@router.get("")
async def list_boxes(ns: str, deps: DependenciesDep) -> dict[str, Any]:
    async with deps.database.read() as conn:
        boxes = await db.list_boxes(conn, ns)
    return {"items": [await _box_to_json(ns, box, deps) for box in boxes]}


async def _box_to_json(ns: str, box: db.Box, deps: DependenciesDep) -> dict[str, Any]:
    usage = await deps.quota.get_usage(ns, box)
    return {
        "name": box.name,
        "capacity": box.capacity,
        "used": usage.used,
        "reserved": usage.reserved,
        "detached": box.detached,
    }
