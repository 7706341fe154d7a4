"""Claim, sync, report: what workers ask for, past the framework as all that is asked for most."""

from __future__ import annotations

from libs.common.http.hot_routes import Answer, Asked, post
from services.scheduler.routes.dependencies import parts_of
from services.scheduler.workers import claims, heartbeat, reports


async def claim(asked: Asked) -> Answer:
    return Answer(await claims.claim_next(parts_of(asked), await asked.told(claims.ClaimRequest)))


async def sync(asked: Asked) -> Answer:
    said = await asked.told(heartbeat.Heartbeat)
    return Answer(await heartbeat.handle_heartbeat(parts_of(asked), asked.path["worker"], said))


async def reuse(asked: Asked) -> Answer:
    made = await asked.told(reports.ReuseQuery)
    return Answer({"reused": await reports.complete_from_cache(parts_of(asked), asked.path["task"], made)})


async def report(asked: Asked) -> Answer:
    said = await asked.told(reports.TaskReport)
    await reports.handle_report(parts_of(asked), asked.path["task"], said)
    return Answer({"accepted": True})


ROUTES = (
    post("/internal/claims", claim),
    post("/internal/workers/{worker}/sync", sync),
    post("/internal/tasks/{task}/reuse", reuse),
    post("/internal/tasks/{task}/report", report),
)
