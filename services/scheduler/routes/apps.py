"""Internal API for the registry: status and deletion of an app."""

from __future__ import annotations

from fastapi import APIRouter

from libs.common.http.hot_routes import OrjsonResponse
from libs.common.protocol.app_status import AppStatus
from services.scheduler.components import app_removal, status
from services.scheduler.db import apps
from services.scheduler.routes.dependencies import DependenciesDep

router = APIRouter(prefix="/internal", include_in_schema=False)


@router.get("/apps/{ns}")
async def show_app(deps: DependenciesDep, ns: str) -> OrjsonResponse:
    async with deps.db.read() as conn:
        app = await apps.get(conn, ns)
    components = await status.list_components(deps.db, ns) if app else []
    app_status = AppStatus(
        deployment=app.deployment if app else None,
        components=tuple(dict(component) for component in components),
        apis=status.list_apis(app),
    )
    return OrjsonResponse(app_status.to_json())


@router.delete("/apps/{ns}", status_code=204)
async def delete_app(deps: DependenciesDep, ns: str) -> None:
    await app_removal.remove_app(deps.db, deps.catalogs, deps.applier, ns)
