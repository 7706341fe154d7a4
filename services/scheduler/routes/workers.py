"""Claim, sync, report: what workers ask for, past the framework as all that is asked for most."""

from __future__ import annotations

from libs.common.http.direct import Answer, Asked, post
from services.scheduler import claims, heartbeat, leases
from services.scheduler.parts import Parts


def _parts(asked: Asked) -> Parts:
    found: Parts = asked.app.state.parts
    return found


async def claim(asked: Asked) -> Answer:
    return Answer(await claims.claim(_parts(asked), await asked.told(claims.Claim)))


async def sync(asked: Asked) -> Answer:
    said = await asked.told(heartbeat.Sync)
    return Answer(await heartbeat.sync(_parts(asked), asked.path["worker"], said))


async def reuse(asked: Asked) -> Answer:
    made = await asked.told(leases.Made)
    return Answer({"reused": await leases.reuse(_parts(asked), asked.path["task"], made)})


async def report(asked: Asked) -> Answer:
    said = await asked.told(leases.LastWord)
    await leases.report(_parts(asked), asked.path["task"], said)
    return Answer({"accepted": True})


ROUTES = (
    post("/internal/claims", claim),
    post("/internal/workers/{worker}/sync", sync),
    post("/internal/tasks/{task}/reuse", reuse),
    post("/internal/tasks/{task}/report", report),
)
