"""Claim, sync, report: what workers ask for, past the framework as all that is asked for most."""

from __future__ import annotations

from starlette.requests import Request

from libs.common.http.direct import Answer, post, told
from services.scheduler import claims, heartbeat, leases
from services.scheduler.parts import Parts


def _parts(request: Request) -> Parts:
    found: Parts = request.app.state.parts
    return found


async def claim(request: Request) -> Answer:
    return Answer(await claims.claim(_parts(request), await told(claims.Claim, request)))


async def sync(request: Request) -> Answer:
    said = await told(heartbeat.Sync, request)
    return Answer(await heartbeat.sync(_parts(request), request.path_params["worker"], said))


async def reuse(request: Request) -> Answer:
    made = await told(leases.Made, request)
    return Answer({"reused": await leases.reuse(_parts(request), request.path_params["task"], made)})


async def report(request: Request) -> Answer:
    said = await told(leases.LastWord, request)
    await leases.report(_parts(request), request.path_params["task"], said)
    return Answer({"accepted": True})


ROUTES = (
    post("/internal/claims", claim),
    post("/internal/workers/{worker}/sync", sync),
    post("/internal/tasks/{task}/reuse", reuse),
    post("/internal/tasks/{task}/report", report),
)
