"""`/api/v1/apps/{ns}/promote`: deploys the commit that is live in another app."""

from __future__ import annotations

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from libs.common.db import database_time
from libs.common.errors import Conflict
from libs.common.http.documented_router import DocumentedRouter
from libs.common.manifests.fields import Name
from libs.common.storable_text import StorableText
from services.registry.apps import Repository
from services.registry.db import Connection, apps, deployments
from services.registry.dependencies import AppNotFound, CallerDep, Dependencies, DependenciesDep
from services.registry.deployments.progress import log_superseded
from services.registry.deployments.promotion import explain_different_repositories, explain_unrelated_commit
from services.registry.deployments.state import Deployment, DeploymentJson, DeploymentTrigger
from services.registry.git.remotes import NoRepository
from services.registry.routes.deployments import accept_deployment

router = DocumentedRouter(prefix="/api/v1/apps/{ns}", tags=["deployments"])
MIN_COMMIT = 7
"""Characters of a commit id that are enough to name one."""


class PromotionSource(BaseModel):
    """The app whose commit is deployed: the one that is live there, or another one that was."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Name = Field(alias="from", examples=["texts-staging"])
    commit: StorableText | None = Field(None, min_length=MIN_COMMIT, max_length=64)


@router.post("/promote", status_code=202, summary="Deploy the commit that is live in another app")
async def promote(
    ns: str, body: PromotionSource, deps: DependenciesDep, caller: CallerDep, response: Response
) -> DeploymentJson:
    """From the same repository, on the same images; the branch's head is not deployed until it moves."""
    caller.require_scope("read", body.source)
    caller.require_scope("develop", ns)
    async with deps.database.read() as conn:
        if await apps.get(conn, ns) is None:
            raise AppNotFound(ns)
        source = await _find_source(conn, body.source, body.commit)
        target, live = await _check_repositories(deps, conn, ns, source), await deployments.get_live(conn, ns)
    if target.url is None and body.source != ns:
        await _copy_commit(deps, source, target, live)
    async with deps.database.write() as conn:
        if await apps.get(conn, ns, lock=True) is None:
            raise AppNotFound(ns)
        now = await database_time(conn)
        await apps.abandon_head(conn, ns, None)
        deployment = await deployments.add(conn, ns, DeploymentTrigger.PROMOTION, now, caller.title, source)
        superseded = await deployments.supersede_older(conn, ns, "pending", deployment.seq, now)
    log_superseded(deployment, superseded)
    return accept_deployment(deps, deployment, response)


async def _find_source(conn: Connection, app: str, commit: str | None) -> Deployment:
    """Raises AppNotFound, Conflict."""
    if await apps.get(conn, app) is None:
        raise AppNotFound(app)
    if commit is not None:
        deployment = await deployments.find_once_live(conn, app, commit)
        problem = f"commit {commit} was never live in {app}; promote one that was"
    else:
        deployment = await deployments.get_live(conn, app)
        problem = f"nothing is live in {app} yet; deploy it there first"
    if deployment is None:
        raise Conflict(problem)
    return deployment


async def _check_repositories(deps: Dependencies, conn: Connection, app: str, deployment: Deployment) -> Repository:
    """That of the app, in which the commit may be deployed. Raises NoRepository, Conflict."""
    source, target = await _get_repository(conn, deployment.app), await _get_repository(conn, app)
    hosted_url = deps.hosted.get_url(app)
    if problem := explain_different_repositories(source, target, hosted_url, deployment.commit_id or ""):
        raise Conflict(problem)
    return target


async def _copy_commit(deps: Dependencies, source: Deployment, target: Repository, live: Deployment | None) -> None:
    """Between two hosted repositories. Raises Conflict when the target has another history."""
    app, commit = target.app, source.commit_id or ""
    was_there = deps.hosted.exists(app) and await deps.hosted.has_promoted(app, commit)
    await deps.hosted.copy_commit(source.app, app, commit)
    ref = await deps.hosted.find_followed_ref(app, target.branch, target.tags)
    head = await deps.hosted.read_ref(app, f"{ref}^{{commit}}") if ref else None
    present = [tip for tip in (live.commit_id if live else None, head) if tip]
    if present and not await deps.hosted.is_related(app, commit, present):
        if not was_there:
            await deps.hosted.drop_promoted(app, commit)
        raise Conflict(explain_unrelated_commit(source.app, target, deps.hosted.get_url(app), commit))


async def _get_repository(conn: Connection, app: str) -> Repository:
    repository = await apps.get_repository(conn, app)
    if repository is None:
        raise NoRepository(f"{app} has no Repository; send one with: mlmesh apply")
    return repository
