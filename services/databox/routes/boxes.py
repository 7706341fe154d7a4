"""Boxes of an app: the scheduler declares them, the registry lists them."""

from __future__ import annotations

from fastapi import APIRouter

from libs.common.http.hot_routes import OrjsonResponse
from libs.common.protocol.box import BoxDeclaration, BoxList, BoxStatus
from libs.common.store_keys import check_name
from services.databox import db
from services.databox.dependencies import DependenciesDep

router = APIRouter(prefix="/internal/apps/{ns}/boxes", include_in_schema=False)


@router.put("", status_code=204)
async def declare_boxes(ns: str, declaration: BoxDeclaration, deps: DependenciesDep) -> None:
    check_name("app", ns)
    capacities = {check_name("box", name): box.capacity for name, box in declaration.boxes.items()}
    async with deps.database.write() as conn:
        await db.declare_boxes(conn, ns, capacities)


@router.get("")
async def list_boxes(ns: str, deps: DependenciesDep) -> OrjsonResponse:
    async with deps.database.read() as conn:
        boxes = await db.list_boxes(conn, ns)
    items = [await _describe_box(ns, box, deps) for box in boxes]
    return OrjsonResponse(BoxList(items=tuple(items)).to_json())


async def _describe_box(ns: str, box: db.Box, deps: DependenciesDep) -> BoxStatus:
    usage = await deps.quota.get_usage(ns, box)
    return BoxStatus(
        name=box.name,
        capacity=box.capacity,
        used=usage.used,
        reserved=usage.reserved,
        detached=box.detached,
    )
