"""`/api/v1/apps/{ns}/components`: status, restart and logs of components."""

from __future__ import annotations

from starlette.responses import Response, StreamingResponse

from libs.common.component_status import ComponentJson
from libs.common.http.api_document import describe_text
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import Page
from services.scheduler.components import instance_controller, status
from services.scheduler.db import tasks
from services.scheduler.routes.dependencies import CallerDep, DependenciesDep
from services.scheduler.runs.log_reader import tail_instance_log

router = DocumentedRouter(prefix="/api/v1/apps/{ns}/components", tags=["components"])


@router.get("")
async def list_components(deps: DependenciesDep, caller: CallerDep, ns: str) -> Page[ComponentJson]:
    caller.require_scope("read", ns)
    return {"items": await status.list_components(deps.db, ns), "next": None}


@router.get("/{name}")
async def show_component(deps: DependenciesDep, caller: CallerDep, ns: str, name: str) -> ComponentJson:
    caller.require_scope("read", ns)
    return await status.get_component(deps.db, ns, name)


@router.post("/{name}/restart", status_code=202)
async def restart_component(deps: DependenciesDep, caller: CallerDep, ns: str, name: str) -> ComponentJson:
    """Restart with the current model; healthy instances serve until their replacements are healthy."""
    caller.require_scope("develop", ns)
    await status.get_component(deps.db, ns, name)
    await instance_controller.restart_component(deps.db, deps.triggers, ns, name)
    return await status.get_component(deps.db, ns, name)


@router.get("/{name}/logs", responses=describe_text("The log; with `follow` as it grows"))
async def show_component_log(
    deps: DependenciesDep, caller: CallerDep, ns: str, name: str, follow: bool = False
) -> Response:
    """The log of the newest started instance."""
    caller.require_scope("read", ns)
    async with deps.db.read() as conn:
        task = await tasks.find_newest_started(conn, ns, name)
    if task is None:
        await status.get_component(deps.db, ns, name)
        return Response(b"", media_type="text/plain; charset=utf-8")
    log = tail_instance_log(deps.db, deps.services.databox, deps.notifier, task, follow=follow)
    return StreamingResponse(log, media_type="text/plain; charset=utf-8")
