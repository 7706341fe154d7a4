"""`/api/v1/apps/{ns}/deployments`, `sync`, `rollback`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict

from libs.common.db import database_time
from libs.common.errors import Conflict
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.pagination import Cursors, next_page_link
from libs.common.http.response_shapes import Page
from libs.common.storable_text import StorableText
from services.registry.db import Connection, apps, deployments
from services.registry.dependencies import AppNotFound, CallerDep, Dependencies, DependenciesDep, DeploymentNotFound
from services.registry.deployments.progress import log_superseded
from services.registry.deployments.record import DeploymentRecordJson, load_record
from services.registry.deployments.state import Deployment, DeploymentJson, DeploymentTrigger
from services.registry.git.error_messages import RefNotFound
from services.registry.git.remotes import NoRepository

router = DocumentedRouter(prefix="/api/v1/apps/{ns}", tags=["deployments"])
HEAD_TIMEOUT_S = 3.0
"""How long a rollback waits for the remote's head; after that it abandons the last known head."""
Limit = Annotated[int, Query(ge=1, le=1000)]


class RollbackTarget(BaseModel):
    """The target of a rollback: a deployment, a commit that was live, or by default the previous live deployment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deployment: StorableText | None = None
    commit: StorableText | None = None


@router.get("/deployments")
async def list_deployments(
    ns: str,
    deps: DependenciesDep,
    caller: CallerDep,
    request: Request,
    response: Response,
    limit: Limit = 100,
    cursor: str | None = None,
) -> Page[DeploymentJson]:
    """Newest first."""
    caller.require_scope("read", ns)
    cursors = Cursors(deps.settings.internal_token, "registry cursor")
    before_seq = None if cursor is None else int(cursors.read_cursor(ns, cursor))
    async with deps.database.read() as conn:
        if await apps.get(conn, ns) is None:
            raise AppNotFound(ns)
        rows = await deployments.list_page(conn, ns, limit + 1, before_seq)
    next_cursor = cursors.make_cursor(ns, rows[limit - 1].seq) if len(rows) > limit else None
    response.headers.update(
        next_page_link(f"/api/v1/apps/{ns}/deployments", request.scope["query_string"], next_cursor)
    )
    return {"items": [deployment.to_json() for deployment in rows[:limit]], "next": next_cursor}


@router.get("/deployments/{deployment}")
async def show_deployment(ns: str, deployment: str, deps: DependenciesDep, caller: CallerDep) -> DeploymentRecordJson:
    """With the changes of its manifests since the deployment before it."""
    caller.require_scope("read", ns)
    async with deps.database.read() as conn:
        row = await deployments.get(conn, deployment, ns)
    if row is None:
        raise DeploymentNotFound(ns, deployment)
    return await load_record(deps.database, row)


@router.post("/sync", status_code=202, summary="Deploy the repository's newest commit")
async def sync(ns: str, deps: DependenciesDep, caller: CallerDep, response: Response) -> DeploymentJson:
    """Deploy the branch's head, even when it was deployed before."""
    caller.require_scope("develop", ns)
    async with deps.database.write() as conn:
        if await apps.get(conn, ns, lock=True) is None:
            raise AppNotFound(ns)
        if await apps.get_repository(conn, ns) is None:
            raise NoRepository()
        now = await database_time(conn)
        deployment = await deployments.add(conn, ns, DeploymentTrigger.SYNC, now, caller.title)
    return accept_deployment(deps, deployment, response)


@router.post("/rollback", status_code=202, summary="Roll back to an earlier deployment")
async def rollback(
    ns: str, deps: DependenciesDep, caller: CallerDep, response: Response, body: RollbackTarget | None = None
) -> DeploymentJson:
    """Deploy an older commit again. The abandoned head is not deployed automatically; a later push is.

    Without a target, a rollback to the same deployment that has not ended is returned instead of another one.
    """
    caller.require_scope("develop", ns)
    head = await _read_abandoned_head(deps, ns) if await _has_pending_head(deps, ns) else None
    async with deps.database.write() as conn:
        if await apps.get(conn, ns, lock=True) is None:
            raise AppNotFound(ns)
        target, now = await _find_target(conn, ns, body or RollbackTarget()), await database_time(conn)
        await apps.abandon_head(conn, ns, head)
        newest = await deployments.get_latest(conn, ns)
        if (body is None or body == RollbackTarget()) and newest is not None and newest.is_rolling_back_to(target):
            return accept_deployment(deps, newest, response)
        deployment = await deployments.add(conn, ns, DeploymentTrigger.ROLLBACK, now, caller.title, target)
        superseded = await deployments.supersede_older(conn, ns, "pending", deployment.seq, now)
    log_superseded(deployment, superseded)
    return accept_deployment(deps, deployment, response)


async def _read_abandoned_head(deps: Dependencies, ns: str) -> str | None:
    """The remote's head, which a rollback abandons; None when it cannot be read now."""
    try:
        return await deps.read_remote_head(ns, HEAD_TIMEOUT_S)
    except RefNotFound:
        return None


async def _has_pending_head(deps: Dependencies, ns: str) -> bool:
    """Whether the remote's head may be newer than the last known one."""
    async with deps.database.read() as conn:
        return any(deployment.awaits_head for deployment in await deployments.list_by_status(conn, "pending", ns))


async def _find_target(conn: Connection, ns: str, target: RollbackTarget) -> Deployment:
    if target.deployment is not None:
        deployment = await deployments.get(conn, target.deployment, ns)
    elif target.commit is not None:
        deployment = await deployments.find_by_commit(conn, ns, target.commit)
    else:
        live = await deployments.get_live(conn, ns)
        deployment = await deployments.get_previous_live(conn, live) if live else None
        if deployment is None:
            raise Conflict("there is no older deployment that was live")
    if deployment is None:
        raise DeploymentNotFound(ns, target.deployment or "", target.commit)
    if deployment.commit_id is None or deployment.revision is None:
        raise Conflict("that deployment never became a revision; choose one that was live")
    return deployment


def accept_deployment(deps: Dependencies, deployment: Deployment, response: Response) -> DeploymentJson:
    deps.deployment_worker.wake()
    response.headers["Location"] = f"/api/v1/apps/{deployment.app}/deployments/{deployment.id}"
    return deployment.to_json()
