"""`/internal/…`: the API for scheduler, gateway and worker (docs/internal-api.md)."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from libs.common.errors import Conflict, NotFound
from libs.common.http.hot_routes import OrjsonResponse
from libs.common.protocol.credential import SecretsQuery, SecretValues, TokenQuery, TokenStatus
from libs.common.protocol.deployment import DeploymentReport, StartingDeployment, StartingDeployments
from services.registry.db import access_feed, apps, deployments
from services.registry.dependencies import AppNotFound, Dependencies, DependenciesDep
from services.registry.deployments.scheduler_reports import apply_report
from services.registry.git.error_messages import GitFailed
from services.registry.secrets.verification import authenticate_token

router = APIRouter(prefix="/internal", include_in_schema=False)

MAX_TASK_VALUES = 1_000_000
"""Characters that the Secrets of one task have at most: the worker looks for all of them in what the task writes."""


@router.post("/tokens/verify")
async def verify_token(query: TokenQuery, deps: DependenciesDep) -> OrjsonResponse:
    token_caller, expires_in = await authenticate_token(deps.settings, deps.database, query.token)
    scopes = tuple(sorted(token_caller.scopes))
    person = {"person": token_caller.person, "session": token_caller.session} if token_caller.person else {}
    status = TokenStatus(name=token_caller.token_name, scopes=scopes, expires_in=expires_in, **person)
    return OrjsonResponse(status.to_json())


@router.get("/deployments")
async def list_deployments(deps: DependenciesDep, status: Literal["starting"] = "starting") -> OrjsonResponse:
    """Oldest first."""
    async with deps.database.read() as conn:
        items = [
            StartingDeployment(
                id=deployment.id,
                app=deployment.app,
                commit=deployment.commit_id,
                catalog=await deployments.get_catalog(conn, deployment.revision),
                **({"rollback_to": deployment.rollback_to} if deployment.rollback_to else {}),
                **({"promoted_from": deployment.promoted_from} if deployment.promoted_from else {}),
            )
            for deployment in await deployments.list_by_status(conn, status)
            if deployment.revision and deployment.commit_id
        ]
    return OrjsonResponse(StartingDeployments(items=tuple(items)).to_json())


@router.post("/deployments/{deployment}/report", status_code=204)
async def report_deployment(deployment: str, report: DeploymentReport, deps: DependenciesDep) -> None:
    await apply_report(deps.database, deployment, report)
    deps.status_sender.wake()


@router.get("/access")
async def list_access_changes(deps: DependenciesDep, since: int = 0) -> OrjsonResponse:
    async with deps.database.read() as conn:
        feed = await access_feed.list_changes(conn, since)
    return OrjsonResponse(feed.to_json())


@router.post("/apps/{ns}/secrets/values")
async def get_secret_values(ns: str, query: SecretsQuery, deps: DependenciesDep) -> OrjsonResponse:
    """Decrypted values, for the worker that starts a task. Never logged."""
    values_by_name, size = dict[str, dict[str, str]](), 0
    for name in query.names:
        values_by_name[name] = await deps.secret_reader.get_values(ns, name)
        size += sum(len(value) for value in values_by_name[name].values())
        if size > MAX_TASK_VALUES:
            advice = "name fewer of them, or keep large ones in a DataBox"
            raise Conflict(
                f"the values of {', '.join(values_by_name)} have over {MAX_TASK_VALUES:,} characters; {advice}"
            )
    missing = [name for name, pairs in values_by_name.items() if not pairs]
    if missing:
        raise Conflict(f"no value yet for {', '.join(missing)}", missing=missing)
    return OrjsonResponse(SecretValues(secrets=values_by_name).to_json())


@router.get("/apps/{ns}/source/{commit}")
async def stream_source(ns: str, commit: str, deps: DependenciesDep) -> StreamingResponse:
    async with deps.database.read() as conn:
        if await apps.get(conn, ns) is None:
            raise AppNotFound(ns)
        if await deployments.find_by_commit(conn, ns, commit) is None:
            raise NotFound("no deployment of this app has this commit")
    await _ensure_fetched(deps, ns, commit)
    return StreamingResponse(deps.git_cache.stream_archive(ns, commit), media_type="application/gzip")


async def _ensure_fetched(deps: Dependencies, ns: str, commit: str) -> None:
    """Fetch a commit that another replica deployed, or that was lost with the cache."""
    if await deps.git_cache.has_commit(ns, commit):
        return
    try:
        _repository, remote = await deps.remotes.resolve_app(ns)
        await deps.git_cache.fetch(ns, remote, commit)
    except GitFailed as error:
        raise NotFound(f"cannot fetch commit {commit[:12]}: {error.detail}") from error
