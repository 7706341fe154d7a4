"""`/api/v1/apps/{ns}/deployments`, `sync`, `rollback`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from libs.common.db import clock
from libs.common.errors import Conflict
from libs.common.http.pagination import Cursors, link_to
from libs.common.storable_text import Text
from services.registry.db import Connection, apps, deployments
from services.registry.dependencies import Here, NoApp, NoDeployment, Parts, Who
from services.registry.deployments.state import Cause, Deployment
from services.registry.git.error_messages import NoBranch
from services.registry.git.remotes import NoRepository

router = APIRouter(prefix="/api/v1/apps/{ns}")
ASK_TIMEOUT_S = 3.0
"""A rollback waits no longer for a Git server: what was seen last is left then."""
Limit = Annotated[int, Query(ge=1, le=1000)]


class Target(BaseModel):
    """Where a rollback goes: a deployment, a commit that was live, or (neither) what was live before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deployment: Text | None = None
    commit: Text | None = None


@router.get("/deployments")
async def listed(
    ns: str, parts: Here, who: Who, request: Request, response: Response, limit: Limit = 100, cursor: str | None = None
) -> dict[str, Any]:
    who.require("read", ns)
    cursors = Cursors(parts.settings.internal_token, "registry cursor")
    before = None if cursor is None else int(cursors.last(ns, cursor))
    async with parts.database.read() as c:
        if await apps.get(c, ns) is None:
            raise NoApp(ns)
        found = await deployments.page(c, ns, limit + 1, before)
    more = cursors.after(ns, found[limit - 1].seq) if len(found) > limit else None
    response.headers.update(link_to(f"/api/v1/apps/{ns}/deployments", request.scope["query_string"], more))
    return {"items": [one.shown() for one in found[:limit]], "next": more}


@router.get("/deployments/{deployment}")
async def show(ns: str, deployment: str, parts: Here, who: Who) -> dict[str, Any]:
    who.require("read", ns)
    async with parts.database.read() as c:
        found = await deployments.get(c, deployment, ns)
    if found is None:
        raise NoDeployment(ns, deployment)
    return found.shown()


@router.post("/sync", status_code=202)
async def sync(ns: str, parts: Here, who: Who, response: Response) -> dict[str, Any]:
    """Deploy the branch's head, also when it was deployed before."""
    who.require("write", ns)
    async with parts.database.write() as c:
        if await apps.get(c, ns, lock=True) is None:
            raise NoApp(ns)
        if await apps.repository(c, ns) is None:
            raise NoRepository()
        found = await deployments.add(c, ns, Cause.SYNC, await clock(c))
    return accepted(parts, found, response)


@router.post("/rollback", status_code=202)
async def rollback(ns: str, parts: Here, who: Who, response: Response, body: Target | None = None) -> dict[str, Any]:
    """Deploy an older commit again. The head that it leaves is not deployed by itself; one that is pushed later is."""
    who.require("write", ns)
    head = await _left(parts, ns) if await _asking(parts, ns) else None
    async with parts.database.write() as c:
        if await apps.get(c, ns, lock=True) is None:
            raise NoApp(ns)
        commit, now = await _goal(c, ns, body or Target()), await clock(c)
        await apps.leave_head(c, ns, head)
        found = await deployments.add(c, ns, Cause.ROLLBACK, now, pinned=commit)
        await deployments.supersede(c, ns, "pending", found.seq, now)
    return accepted(parts, found, response)


async def _left(parts: Parts, ns: str) -> str | None:
    """The head that a rollback leaves, when Git tells one now."""
    try:
        return await parts.head(ns, ASK_TIMEOUT_S)
    except NoBranch:
        return None


async def _asking(parts: Parts, ns: str) -> bool:
    """Whether the head that is to be left may be newer than the one that was seen last."""
    async with parts.database.read() as c:
        return any(one.asks for one in await deployments.with_status(c, "pending", ns))


async def _goal(c: Connection, ns: str, target: Target) -> str:
    if target.deployment is not None:
        found = await deployments.get(c, target.deployment, ns)
    elif target.commit is not None:
        found = await deployments.of_commit(c, ns, target.commit)
    else:
        live = await deployments.live(c, ns)
        found = await deployments.before_that(c, live) if live else None
        if found is None:
            raise Conflict("there is no older deployment that was live")
    if found is None:
        raise NoDeployment(ns, target.deployment or "", target.commit)
    if found.commit_id is None or found.revision is None:
        raise Conflict("that deployment never became a revision; choose one that was live")
    return found.commit_id


def accepted(parts: Parts, deployment: Deployment, response: Response) -> dict[str, Any]:
    parts.deployer.wake()
    response.headers["Location"] = f"/api/v1/apps/{deployment.app}/deployments/{deployment.id}"
    return deployment.shown()
