"""Internal API for workers: claim, sync (heartbeat), reuse, report. These are hot routes, which bypass FastAPI."""

from __future__ import annotations

from libs.common.http.hot_routes import OrjsonResponse, RouteRequest, post_route
from services.scheduler.routes.dependencies import get_dependencies
from services.scheduler.workers import claims, heartbeat, reports


async def claim_task(request: RouteRequest) -> OrjsonResponse:
    return OrjsonResponse(
        await claims.claim_next(get_dependencies(request), await request.read_model(claims.ClaimRequest))
    )


async def sync_worker(request: RouteRequest) -> OrjsonResponse:
    heartbeat_body = await request.read_model(heartbeat.Heartbeat)
    return OrjsonResponse(
        await heartbeat.handle_heartbeat(get_dependencies(request), request.path_params["worker"], heartbeat_body)
    )


async def reuse_result(request: RouteRequest) -> OrjsonResponse:
    reuse_query = await request.read_model(reports.ReuseQuery)
    return OrjsonResponse(
        {
            "reused": await reports.complete_from_cache(
                get_dependencies(request), request.path_params["task"], reuse_query
            )
        }
    )


async def report_task(request: RouteRequest) -> OrjsonResponse:
    task_report = await request.read_model(reports.TaskReport)
    await reports.handle_report(get_dependencies(request), request.path_params["task"], task_report)
    return OrjsonResponse({"accepted": True})


ROUTES = (
    post_route("/internal/claims", claim_task),
    post_route("/internal/workers/{worker}/sync", sync_worker),
    post_route("/internal/tasks/{task}/reuse", reuse_result),
    post_route("/internal/tasks/{task}/report", report_task),
)
