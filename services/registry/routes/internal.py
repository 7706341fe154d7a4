"""`/internal/…`: the API for scheduler, gateway and worker (docs/internal-api.md)."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from libs.common.errors import Conflict, NotFound
from libs.common.http.hot_routes import OrjsonResponse
from services.registry.db import access_feed, apps, deployments
from services.registry.dependencies import AppNotFound, Dependencies, DependenciesDep
from services.registry.deployments.scheduler_reports import Report, apply_report
from services.registry.deployments.state import Deployment, DeploymentStep
from services.registry.git.error_messages import GitFailed
from services.registry.secrets.verification import authenticate_token

router = APIRouter(prefix="/internal", include_in_schema=False)


class InternalBody(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class TokenBody(InternalBody):
    token: str


class ReportedStep(InternalBody):
    name: str
    status: str
    detail: str | None = None
    started_at: float | None = None
    finished_at: float | None = None


class ReportedError(InternalBody):
    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    component: str | None = None
    reason: str | None = None
    log_tail: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The position is always present; other fields only when set."""
        place = {"message", "file", "line", "column"}
        return self.model_dump(include=place) | self.model_dump(mode="json", exclude=place, exclude_defaults=True)


class DeploymentReport(InternalBody):
    status: Literal["starting", "live", "failed", "superseded"]
    steps: tuple[ReportedStep, ...] = ()
    errors: tuple[ReportedError, ...] = ()
    warnings: tuple[Any, ...] = ()


class SecretNames(InternalBody):
    names: tuple[str, ...]


@router.post("/tokens/verify")
async def verify_token(body: TokenBody, deps: DependenciesDep) -> dict[str, Any]:
    token_caller, expires_in = await authenticate_token(deps.settings, deps.database, body.token)
    return {"name": token_caller.token_name, "scopes": sorted(token_caller.scopes), "expires_in": expires_in}


@router.get("/deployments")
async def list_deployments(deps: DependenciesDep, status: Literal["starting"] = "starting") -> dict[str, Any]:
    """Oldest first."""
    async with deps.database.read() as conn:
        rows = await deployments.list_by_status(conn, status)
        catalogs = {
            deployment.id: await deployments.get_catalog(conn, deployment.revision)
            for deployment in rows
            if deployment.revision
        }
    return {
        "items": [
            _describe_deployment(deployment, catalogs[deployment.id])
            for deployment in rows
            if deployment.id in catalogs
        ]
    }


def _describe_deployment(deployment: Deployment, catalog: dict[str, Any]) -> dict[str, Any]:
    return {"id": deployment.id, "app": deployment.app, "commit": deployment.commit_id, "catalog": catalog}


@router.post("/deployments/{deployment}/report", status_code=204)
async def report_deployment(deployment: str, body: DeploymentReport, deps: DependenciesDep) -> None:
    steps = [DeploymentStep(**step.model_dump()) for step in body.steps]
    errors = [error.to_json() for error in body.errors]
    await apply_report(deps.database, deployment, Report(body.status, steps, errors, body.warnings))


@router.get("/access")
async def list_access_changes(deps: DependenciesDep, since: int = 0) -> OrjsonResponse:
    async with deps.database.read() as conn:
        feed = await access_feed.list_changes(conn, since)
    return OrjsonResponse(feed.to_json())


@router.post("/apps/{ns}/secrets/values")
async def get_secret_values(ns: str, body: SecretNames, deps: DependenciesDep) -> dict[str, Any]:
    """Decrypted values, for the worker that starts a task. Never logged."""
    values_by_name = {name: await deps.secret_reader.get_values(ns, name) for name in body.names}
    missing = [name for name, pairs in values_by_name.items() if not pairs]
    if missing:
        raise Conflict(f"no value yet for {', '.join(missing)}", missing=missing)
    return {"secrets": values_by_name}


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
