"""Internal API for workers: claim, sync (heartbeat), reuse, report. These are hot routes, which bypass FastAPI."""

from __future__ import annotations

from libs.common.errors import Invalid
from libs.common.http.hot_routes import OrjsonResponse, RouteRequest, post_route
from libs.common.protocol.claim import MAX_WORKER_NAME, ClaimRequest
from libs.common.protocol.heartbeat import Heartbeat
from libs.common.protocol.image_inventory import ImageInventory
from libs.common.protocol.report import ReportResponse, ReuseQuery, ReuseResponse, TaskReport
from services.scheduler.routes.dependencies import get_dependencies
from services.scheduler.workers import claims, heartbeat, image_collection, reports, reuse_queries


async def claim_task(request: RouteRequest) -> OrjsonResponse:
    deps = get_dependencies(request)
    claimed = await claims.claim_next(deps.db, deps.applier, deps.settings, await request.read_model(ClaimRequest))
    return OrjsonResponse(claimed.to_json())


async def sync_worker(request: RouteRequest) -> OrjsonResponse:
    deps, worker = get_dependencies(request), request.path_params["worker"]
    if len(worker) > MAX_WORKER_NAME:
        raise Invalid(f"worker: a name has at most {MAX_WORKER_NAME} characters, not {len(worker)}")
    body = await request.read_model(Heartbeat)
    orders = await heartbeat.handle_heartbeat(deps.db, deps.applier, deps.settings.lease, worker, body)
    return OrjsonResponse(orders.to_json())


async def reuse_result(request: RouteRequest) -> OrjsonResponse:
    deps = get_dependencies(request)
    query = await request.read_model(ReuseQuery)
    reused = await reuse_queries.complete_from_cache(deps.db, deps.applier, request.path_params["task"], query)
    return OrjsonResponse(ReuseResponse(reused=reused).to_json())


async def report_task(request: RouteRequest) -> OrjsonResponse:
    deps = get_dependencies(request)
    report = await request.read_model(TaskReport)
    await reports.handle_report(deps.db, deps.applier, request.path_params["task"], report)
    return OrjsonResponse(ReportResponse(accepted=True).to_json())


async def collect_images(request: RouteRequest) -> OrjsonResponse:
    inventory = await request.read_model(ImageInventory)
    removable = await image_collection.collect_images(get_dependencies(request).db, inventory)
    return OrjsonResponse(removable.to_json())


ROUTES = (
    post_route("/internal/claims", claim_task),
    post_route("/internal/workers/{worker}/sync", sync_worker),
    post_route("/internal/tasks/{task}/reuse", reuse_result),
    post_route("/internal/tasks/{task}/report", report_task),
    post_route("/internal/images", collect_images),
)
