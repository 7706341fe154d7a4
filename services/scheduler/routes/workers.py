"""Claim, sync, report: what workers ask for, past the framework as all that is asked for most."""

from __future__ import annotations

from libs.common.http.hot_routes import Answer, Asked, post
from services.scheduler.routes.dependencies import get_dependencies
from services.scheduler.workers import claims, heartbeat, reports


async def claim_task(request: Asked) -> Answer:
    return Answer(await claims.claim_next(get_dependencies(request), await request.told(claims.ClaimRequest)))


async def sync_worker(request: Asked) -> Answer:
    heartbeat_body = await request.told(heartbeat.Heartbeat)
    return Answer(await heartbeat.handle_heartbeat(get_dependencies(request), request.path["worker"], heartbeat_body))


async def reuse_result(request: Asked) -> Answer:
    reuse_query = await request.told(reports.ReuseQuery)
    return Answer(
        {"reused": await reports.complete_from_cache(get_dependencies(request), request.path["task"], reuse_query)}
    )


async def report_task(request: Asked) -> Answer:
    task_report = await request.told(reports.TaskReport)
    await reports.handle_report(get_dependencies(request), request.path["task"], task_report)
    return Answer({"accepted": True})


ROUTES = (
    post("/internal/claims", claim_task),
    post("/internal/workers/{worker}/sync", sync_worker),
    post("/internal/tasks/{task}/reuse", reuse_result),
    post("/internal/tasks/{task}/report", report_task),
)
