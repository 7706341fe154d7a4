"""Runs: for callers (through the gateway, their own runs) and for owners (`/api/v1`, all runs of an app)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import orjson
from fastapi import Header, Query, Request, Response
from starlette.responses import StreamingResponse

from libs.common.errors import Gone, Malformed, NotFound, RangeNotSatisfiable
from libs.common.http.api_document import describe_events, describe_text
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.hot_routes import OrjsonResponse
from libs.common.http.pagination import Cursors, next_page_link
from libs.common.http.problem import problem_response
from libs.common.http.response_shapes import Page
from libs.common.identity import ANONYMOUS
from services.scheduler.db import runs as run_rows
from services.scheduler.dependencies import Dependencies
from services.scheduler.routes.dependencies import RETRY_AFTER_S, DependenciesDep, PreferWait, parse_prefer_wait
from services.scheduler.routes.run_scope import RunScopeDep, require_visible_run, run_route
from services.scheduler.runs import cancel_retry, deletion, log_events, log_reader, long_poll, outputs, queries, views
from services.scheduler.runs.outputs import OutputFilesJson
from services.scheduler.runs.views import RunJson

STATUSES = ("queued", "running", "succeeded", "failed", "canceling", "canceled", "expired")
PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
KEEP_ALIVE_S = 15.0
TEXT_PLAIN = "text/plain; charset=utf-8"
LOG_TEXT = describe_text("The log; with `follow` as server-sent events")[200]
LOG_RESPONSES = {
    200: {**LOG_TEXT, "content": {**LOG_TEXT["content"], **describe_events("")[200]["content"]}},
    206: {**LOG_TEXT, "description": "The range that was asked for"},
}
router = DocumentedRouter()


@run_route(router, "GET", "", response_model=Page[RunJson])
async def list_runs(
    deps: DependenciesDep,
    scope: RunScopeDep,
    request: Request,
    pipeline: str | None = None,
    status: str | None = None,
    label: str | None = None,
    created_after: str | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = PAGE_SIZE,
) -> Response:
    """Newest first."""
    if scope.user == ANONYMOUS:  # anonymous callers share a user: only a run's id grants access
        return OrjsonResponse({"items": [], "next": None})
    pipelines = scope.pipelines
    if pipeline is not None:
        pipelines = frozenset({pipeline}) if pipelines is None else pipelines & {pipeline}
    cursors = Cursors(deps.settings.internal_token, "scheduler cursor")
    start_after = None if cursor is None else tuple(cursors.read_cursor(scope.app, cursor))
    if status is not None and status not in STATUSES:
        raise Malformed(f"status: one of {', '.join(STATUSES)}")
    async with deps.db.read() as conn:
        runs = await run_rows.list_page(
            conn,
            scope.app,
            user=scope.user,
            pipelines=pipelines,
            status=status,
            cursor=start_after,
            created_after=_parse_time(created_after),
            label=label,
            limit=limit + 1,
        )
    last = runs[limit - 1] if len(runs) > limit else None
    following = None if last is None else cursors.make_cursor(scope.app, [last.created_at, last.id])
    headers = next_page_link(scope.list_path, request.scope["query_string"], following)
    return OrjsonResponse(
        {"items": await queries.runs_to_json(deps.db, runs[:limit], owner=scope.owner), "next": following},
        headers=headers,
    )


def _parse_time(text: str | None) -> float | None:
    from datetime import UTC, datetime

    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise Malformed("created_after: write a time such as 2026-01-31T12:00:00Z") from error


@run_route(
    router,
    "GET",
    "/{run_id}",
    response_model=RunJson,
    responses={304: {"description": "It has not changed since the version of `If-None-Match`"}},
)
async def show_run(
    deps: DependenciesDep,
    scope: RunScopeDep,
    run_id: str,
    prefer: PreferWait = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """With `Prefer: wait`: when it has changed since `If-None-Match`, or has ended."""
    run, body = await queries.get_run(deps.db, scope.app, run_id, owner=scope.owner)
    scope.check_visible(run)
    if (seconds := parse_prefer_wait(prefer)) > 0:
        run, body = await long_poll.wait_for_run(
            deps.db, deps.run_reads, deps.notifier, scope.app, run_id, seconds, if_none_match, owner=scope.owner
        )
    if if_none_match == views.run_etag(run):
        return Response(status_code=304, headers={"ETag": views.run_etag(run)})
    headers = {"ETag": views.run_etag(run)} | ({} if run.is_final else {"Retry-After": RETRY_AFTER_S})
    return OrjsonResponse(body, headers=headers)


@run_route(router, "POST", "/{run_id}/cancel", status_code=202)
async def cancel_run(deps: DependenciesDep, scope: RunScopeDep, run_id: str) -> RunJson:
    """Again and again; 409 when it has ended otherwise."""
    await require_visible_run(deps, scope, run_id)
    await cancel_retry.cancel_run(deps.db, deps.applier, scope.app, run_id)
    return (await queries.get_run(deps.db, scope.app, run_id, owner=scope.owner))[1]


@run_route(router, "POST", "/{run_id}/retry", status_code=202)
async def retry_run(
    deps: DependenciesDep, scope: RunScopeDep, run_id: str, stage: Annotated[str | None, Query(alias="from")] = None
) -> RunJson:
    """`from` keeps the stages before it. 409 unless the run failed, was canceled or has expired."""
    await require_visible_run(deps, scope, run_id)
    await cancel_retry.retry_run(deps.db, deps.applier, scope.app, run_id, stage)
    return (await queries.get_run(deps.db, scope.app, run_id, owner=scope.owner))[1]


@run_route(router, "DELETE", "/{run_id}", status_code=204)
async def delete_run(deps: DependenciesDep, scope: RunScopeDep, run_id: str, files: bool = False) -> None:
    """Delete the run; with `?files=true` its published files, too."""
    await require_visible_run(deps, scope, run_id)
    await deletion.delete_run(deps.db, deps.triggers, scope.app, run_id, files=files)


@run_route(router, "GET", "/{run_id}/events", responses=describe_events("The run after each change"))
async def stream_events(
    deps: DependenciesDep, scope: RunScopeDep, run_id: str, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Server-sent events with the run after each change until it ends; an event id is the ETag without quotes."""
    await require_visible_run(deps, scope, run_id)
    stream = stream_changes(deps, scope.app, run_id, last_event_id, owner=scope.owner)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def stream_changes(
    deps: Dependencies, app: str, run_id: str, since: str | None, *, owner: bool
) -> AsyncIterator[bytes]:
    etag = f'"{since}"' if since else '""'
    while not deps.notifier.closed:
        try:
            run, body = await long_poll.wait_for_run(
                deps.db, deps.run_reads, deps.notifier, app, run_id, KEEP_ALIVE_S, etag, owner=owner
            )
        except (NotFound, Gone):
            return
        if views.run_etag(run) == etag:
            yield log_events.KEEP_ALIVE
        else:
            etag = views.run_etag(run)
            yield b"id: %s\nevent: run\ndata: %s\n\n" % (etag.strip('"').encode(), orjson.dumps(body))
        if run.is_final:
            return


@run_route(router, "GET", "/{run_id}/logs", responses=LOG_RESPONSES)
async def show_log(
    deps: DependenciesDep,
    scope: RunScopeDep,
    run_id: str,
    request: Request,
    stage: str | None = None,
    attempt: int | None = None,
    follow: bool = False,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    run = await require_visible_run(deps, scope, run_id)
    if stage is not None and stage not in run.plan.waits:
        raise NotFound(f"no stage {stage}; stages are {', '.join(run.plan.waits)}")
    if follow:
        stream = log_events.stream_events(
            deps.db,
            deps.services.databox,
            deps.notifier,
            run,
            stage,
            await log_events.resolve_cursor(deps.db, deps.services.databox, run, last_event_id),
        )
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    if attempt is None and "range" not in request.headers:
        return StreamingResponse(
            log_reader.stream_text(deps.db, deps.services.databox, run, stage), media_type=TEXT_PLAIN
        )
    log_range = await log_reader.open_range(deps.db, deps.services.databox, run, stage, attempt, request.headers)
    span = log_range.decision.span
    if log_range.decision.status == 416:
        return problem_response(RangeNotSatisfiable(), {"Content-Range": f"bytes */{log_range.size}"})
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(span.length)}
    if log_range.decision.status == 206:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{log_range.size}"
    return StreamingResponse(log_range.content, log_range.decision.status, headers, TEXT_PLAIN)


@run_route(router, "GET", "/{run_id}/outputs/{variable}", response_model=OutputFilesJson)
async def list_output_files(deps: DependenciesDep, scope: RunScopeDep, run_id: str, variable: str) -> Response:
    """The files of an output variable, with links; none while its stage has not succeeded."""
    run = await require_visible_run(deps, scope, run_id)
    files = await outputs.list_output_files(deps.db, deps.services.databox, run, variable)
    return OrjsonResponse({"items": [file.to_json() for file in files]})
