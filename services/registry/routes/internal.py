"""`/internal/…`: what scheduler, gateway and worker ask of the registry (docs/internal-api.md)."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from libs.common.db import clock
from libs.common.errors import Conflict, NotFound
from services.registry.db import access_feed, apps, deployments
from services.registry.dependencies import Here, NoApp, Parts
from services.registry.deployments import scheduler_reports
from services.registry.deployments.state import Deployment, Step
from services.registry.git.error_messages import GitFailed
from services.registry.secrets.verification import verified

router = APIRouter(prefix="/internal")


class Body(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Token(Body):
    token: str


class ReportedStep(Body):
    name: str
    status: str
    detail: str | None = None
    started_at: float | None = None
    finished_at: float | None = None


class ReportedError(Body):
    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    component: str | None = None
    reason: str | None = None
    log_tail: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Its place always, known or not; the rest where there is some."""
        place = {"message", "file", "line", "column"}
        return self.model_dump(include=place) | self.model_dump(mode="json", exclude=place, exclude_defaults=True)


class Report(Body):
    status: Literal["starting", "live", "failed", "superseded"]
    steps: tuple[ReportedStep, ...] = ()
    errors: tuple[ReportedError, ...] = ()
    warnings: tuple[Any, ...] = ()


class Names(Body):
    names: tuple[str, ...]


@router.post("/tokens/verify")
async def verify(body: Token, parts: Here) -> dict[str, Any]:
    found, left = await verified(parts.settings, parts.database, body.token)
    return {"name": found.token_name, "scopes": sorted(found.scopes), "expires_in": left}


@router.get("/deployments")
async def waiting(parts: Here, status: Literal["starting"] = "starting") -> dict[str, Any]:
    """Oldest first."""
    async with parts.database.read() as c:
        found = await deployments.with_status(c, status)
        catalogs = {one.id: await deployments.catalog(c, one.revision) for one in found if one.revision}
    return {"items": [_item(one, catalogs[one.id]) for one in found if one.id in catalogs]}


def _item(deployment: Deployment, catalog: dict[str, Any]) -> dict[str, Any]:
    return {"id": deployment.id, "app": deployment.app, "commit": deployment.commit_id, "catalog": catalog}


@router.post("/deployments/{deployment}/report", status_code=204)
async def report(deployment: str, body: Report, parts: Here) -> None:
    steps = [Step(**step.model_dump()) for step in body.steps]
    errors = [error.document() for error in body.errors]
    async with parts.database.write() as c:
        found = await deployments.get(c, deployment)
        if found is None or await apps.get(c, found.app, lock=True) is None:
            raise NotFound(f"there is no deployment {deployment}")
        await scheduler_reports.report(c, found, body.status, steps, errors, list(body.warnings), await clock(c))


@router.get("/access")
async def changed_access(parts: Here, since: int = 0) -> dict[str, Any]:
    async with parts.database.read() as c:
        return await access_feed.feed(c, since)


@router.post("/apps/{ns}/secrets/values")
async def values(ns: str, body: Names, parts: Here) -> dict[str, Any]:
    """Only for the worker that starts a task; never logged."""
    found = {name: await parts.origins.values(ns, name) for name in body.names}
    missing = [name for name, pairs in found.items() if not pairs]
    if missing:
        raise Conflict(f"no value yet for {', '.join(missing)}", missing=missing)
    return {"secrets": found}


@router.get("/apps/{ns}/source/{commit}")
async def source(ns: str, commit: str, parts: Here) -> StreamingResponse:
    async with parts.database.read() as c:
        if await apps.get(c, ns) is None:
            raise NoApp(ns)
        if await deployments.of_commit(c, ns, commit) is None:
            raise NotFound("no deployment of this app has this commit")
    await _fetched(parts, ns, commit)
    return StreamingResponse(parts.source.archive(ns, commit), media_type="application/gzip")


async def _fetched(parts: Parts, ns: str, commit: str) -> None:
    """Another replica may have fetched it, or the cache was lost."""
    if await parts.source.has(ns, commit):
        return
    try:
        _repository, origin = await parts.origins.of_app(ns)
        await parts.source.fetch(ns, origin, commit)
    except GitFailed as error:
        raise NotFound(f"Git does not give commit {commit[:12]}: {error.detail}") from error
