"""Runs: for callers (through the gateway, their own runs only) and for owners (`/api/v1`, all of an app's)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.responses import StreamingResponse

from libs.common.errors import Forbidden, Gone, Malformed, NotFound, RangeNotSatisfiable
from libs.common.http.hot_routes import Answer
from libs.common.http.pagination import Cursors, link_to
from libs.common.http.problem import rendered
from libs.common.identity import ANONYMOUS, OWNER, Caller
from services.scheduler.db import runs as rows
from services.scheduler.dependencies import Parts
from services.scheduler.model.run import Run
from services.scheduler.routes.dependencies import RETRY_AFTER_S, TheCaller, TheParts, preferred_wait
from services.scheduler.runs import logs, outputs, queries, retention, views

STATUSES = ("queued", "running", "succeeded", "failed", "canceling", "canceled", "expired")
PAGE = 100
MAX_PAGE = 1000
KEEP_ALIVE_S = 15.0
TEXT = "text/plain; charset=utf-8"
router = APIRouter()


class Scope:
    """Which runs this request may see: a caller's own, or all of the app's.

    A run of nobody's is for who knows its id.
    """

    def __init__(self, caller: Caller, app: str, owner: bool) -> None:
        self.app = app
        self.listed_at = f"/api/v1/apps/{app}/runs" if owner else f"/{app}/runs"
        """The public path."""
        self.owner = owner or caller.user == OWNER
        self.user = None if owner else caller.user
        self.pipelines = None if owner or "*" in caller.pipelines else caller.pipelines

    def check(self, run: Run) -> Run:
        """Raises NotFound for another's run, as if it were not there."""
        mine = self.user is None or run.user in (self.user, ANONYMOUS)
        began_with = run.plan.get("began_with", run.pipeline)
        if not mine or (self.pipelines is not None and not self.pipelines & {run.pipeline, began_with}):
            raise NotFound(f"no run {run.id}")
        return run


async def scope(request: Request, caller: TheCaller, ns: str) -> Scope:
    owner = request.url.path.startswith("/api/v1/")
    if owner:
        caller.require("read" if request.method == "GET" else "write", ns)
    elif not caller.user:
        raise Forbidden()
    return Scope(caller, ns, owner)


TheScope = Annotated[Scope, Depends(scope)]


@router.get("/internal/apps/{ns}/runs")
@router.get("/api/v1/apps/{ns}/runs")
async def listing(
    parts: TheParts,
    mine: TheScope,
    request: Request,
    pipeline: str | None = None,
    status: str | None = None,
    label: str | None = None,
    created_after: str | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = PAGE,
) -> Response:
    if mine.user == ANONYMOUS:  # one sees a run whose id one was told
        return Answer({"items": [], "next": None})
    pipelines = mine.pipelines
    if pipeline is not None:
        pipelines = frozenset({pipeline}) if pipelines is None else pipelines & {pipeline}
    cursors = Cursors(parts.settings.internal_token, "scheduler cursor")
    after = None if cursor is None else tuple(cursors.last(mine.app, cursor))
    if status is not None and status not in STATUSES:
        raise Malformed(f"status: one of {', '.join(STATUSES)}")
    async with parts.db.read() as c:
        found = await rows.list_page(
            c,
            mine.app,
            user=mine.user,
            pipelines=pipelines,
            status=status,
            cursor=after,
            created_after=_epoch(created_after),
            label=label,
            limit=limit + 1,
        )
    last = found[limit - 1] if len(found) > limit else None
    following = None if last is None else cursors.after(mine.app, [last.created_at, last.id])
    headers = link_to(mine.listed_at, request.scope["query_string"], following)
    return Answer(
        {"items": await queries.listed(parts, found[:limit], owner=mine.owner), "next": following}, headers=headers
    )


def _epoch(text: str | None) -> float | None:
    from datetime import UTC, datetime

    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise Malformed("created_after: write a time such as 2026-01-31T12:00:00Z") from error


@router.get("/internal/apps/{ns}/runs/{run_id}")
@router.get("/api/v1/apps/{ns}/runs/{run_id}")
async def show(
    parts: TheParts,
    mine: TheScope,
    run_id: str,
    prefer: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    run, shown = await queries.view(parts, mine.app, run_id, owner=mine.owner)
    mine.check(run)
    if (seconds := preferred_wait(prefer)) > 0:
        run, shown = await queries.wait(parts, mine.app, run_id, seconds, if_none_match, owner=mine.owner)
    if if_none_match == views.etag(run):
        return Response(status_code=304, headers={"ETag": views.etag(run)})
    headers = {"ETag": views.etag(run)} | ({} if run.is_final else {"Retry-After": RETRY_AFTER_S})
    return Answer(shown, headers=headers)


async def checked(parts: Parts, mine: Scope, run_id: str) -> Run:
    """Raises NotFound."""
    async with parts.db.read() as c:
        return mine.check(await queries.present(c, mine.app, run_id, lock=False))


@router.post("/internal/apps/{ns}/runs/{run_id}/cancel", status_code=202)
@router.post("/api/v1/apps/{ns}/runs/{run_id}/cancel", status_code=202)
async def cancel(parts: TheParts, mine: TheScope, run_id: str) -> Any:
    await checked(parts, mine, run_id)
    await queries.cancel(parts, mine.app, run_id)
    return (await queries.view(parts, mine.app, run_id, owner=mine.owner))[1]


@router.post("/internal/apps/{ns}/runs/{run_id}/retry", status_code=202)
@router.post("/api/v1/apps/{ns}/runs/{run_id}/retry", status_code=202)
async def retry(
    parts: TheParts, mine: TheScope, run_id: str, stage: Annotated[str | None, Query(alias="from")] = None
) -> Any:
    await checked(parts, mine, run_id)
    await queries.retry(parts, mine.app, run_id, stage)
    return (await queries.view(parts, mine.app, run_id, owner=mine.owner))[1]


@router.delete("/internal/apps/{ns}/runs/{run_id}", status_code=204)
@router.delete("/api/v1/apps/{ns}/runs/{run_id}", status_code=204)
async def remove(parts: TheParts, mine: TheScope, run_id: str, files: bool = False) -> None:
    """With `?files=true` what it has published, too."""
    await checked(parts, mine, run_id)
    await retention.remove(parts, mine.app, run_id, files=files)


@router.get("/internal/apps/{ns}/runs/{run_id}/events")
@router.get("/api/v1/apps/{ns}/runs/{run_id}/events")
async def events(
    parts: TheParts, mine: TheScope, run_id: str, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """The run whenever it changes, as server-sent events, to its end; an id is the ETag without its quotes."""
    await checked(parts, mine, run_id)
    found = changes(parts, mine.app, run_id, last_event_id, owner=mine.owner)
    return StreamingResponse(found, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def changes(parts: Parts, app: str, run_id: str, since: str | None, *, owner: bool) -> AsyncIterator[bytes]:
    etag = f'"{since}"' if since else '""'
    while not parts.bells.closed:
        try:
            run, shown = await queries.wait(parts, app, run_id, KEEP_ALIVE_S, etag, owner=owner)
        except (NotFound, Gone):
            return
        if views.etag(run) == etag:
            yield logs.KEEP_ALIVE
        else:
            etag = views.etag(run)
            yield b"id: %s\nevent: run\ndata: %s\n\n" % (etag.strip('"').encode(), orjson.dumps(shown))
        if run.is_final:
            return


@router.get("/internal/apps/{ns}/runs/{run_id}/logs")
@router.get("/api/v1/apps/{ns}/runs/{run_id}/logs")
async def log(
    parts: TheParts,
    mine: TheScope,
    run_id: str,
    request: Request,
    stage: str | None = None,
    attempt: int | None = None,
    follow: bool = False,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    run = await checked(parts, mine, run_id)
    if stage is not None and stage not in run.plan["waits"]:
        raise NotFound(f"no stage {stage}; stages are {', '.join(run.plan['waits'])}")
    if follow:
        events = logs.events(parts, run, stage, await logs.resumed_in(parts, run, last_event_id))
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    if attempt is None and "range" not in request.headers:
        return StreamingResponse(logs.text(parts, run, stage), media_type=TEXT)
    part = await logs.part(parts, run, stage, attempt, request.headers)
    span = part.plan.span
    if part.plan.status == 416:
        return rendered(RangeNotSatisfiable(), {"Content-Range": f"bytes */{part.size}"})
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(span.length)}
    if part.plan.status == 206:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{part.size}"
    return StreamingResponse(part.content, part.plan.status, headers, TEXT)


@router.get("/internal/apps/{ns}/runs/{run_id}/outputs/{variable}")
@router.get("/api/v1/apps/{ns}/runs/{run_id}/outputs/{variable}")
async def files(parts: TheParts, mine: TheScope, run_id: str, variable: str) -> Any:
    run = await checked(parts, mine, run_id)
    return {"items": await outputs.files(parts, run, variable)}
