"""Files of a user: the public file routes, as the gateway forwards them.

The path is parsed from the request's raw bytes and decoded once, so that differently encoded names stay distinct.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from starlette.responses import JSONResponse

from libs.common.errors import Invalid, Malformed, NotFound, PreconditionFailed
from libs.common.http.conditions import Conditions, Version
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.pagination import next_page_link
from libs.common.http.problem import problem_response
from libs.common.http.response_shapes import Page
from libs.common.identity import caller_from_headers
from libs.common.store_keys import BoxAddress, check_prefix, decode_path, parse_address
from libs.common.times import iso_time
from services.databox import db, links
from services.databox.dependencies import Dependencies, DependenciesDep
from services.databox.files.preconditions import FileExists, build_replace_check, stat_version
from services.databox.files.quota import ReservationRequest, file_version, link_reservation_id
from services.databox.files.uploads import ReplaceCheck, refuse_clash
from services.databox.routes.bodies import (
    join_headers,
    read_body,
    read_chunks,
    send_file,
    store_body,
)
from services.databox.routes.file_documents import (
    BINARY_TYPE,
    GET_RESPONSES,
    HEAD_RESPONSES,
    UPLOAD_BODY,
    UPLOAD_RESPONSES,
    FileJson,
    FileLinksJson,
)
from services.databox.store import ExpectedVersion, Stat

router = DocumentedRouter(prefix="/internal/apps/{ns}/users/{user}/files", tags=["files"])
PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


@dataclass(frozen=True)
class BoxPath:
    """The file, group or box that a request's path names; the box exists."""

    app: str
    box: str
    address: BoxAddress
    writable: bool
    """Whether this caller may write."""

    @property
    def key(self) -> str:
        return self.address.key


async def resolve_path(request: Request, deps: DependenciesDep) -> BoxPath:
    """Raises Invalid or Malformed for bad names, Forbidden for a user without files, NotFound without the box."""
    app, user, box, path = _split_path(request.scope["raw_path"])
    resolved = parse_address(app, box, user, path)
    async with deps.database.read() as conn:
        boxes = [row.name for row in await db.list_boxes(conn, app) if not row.detached]
    if box not in boxes:
        raise NotFound(f"{app} has no box {box}; it has {', '.join(boxes) or 'none'}", boxes=boxes)
    return BoxPath(app, box, resolved, caller_from_headers(request.headers).has_scope("write", app))


def _split_path(raw_path: bytes) -> tuple[str, str, str, str]:
    segments = [decode_path(part) for part in raw_path.split(b"/", 8)]
    if len(segments) < 8 or (segments[4], segments[6]) != ("users", "files"):
        raise NotFound()
    return segments[3], segments[5], segments[7], segments[8] if len(segments) > 8 else ""


BoxPathDep = Annotated[BoxPath, Depends(resolve_path)]


@router.put("/{box}", include_in_schema=False)
@router.put("/{box}/{path:path}", response_model=FileLinksJson, responses=UPLOAD_RESPONSES, openapi_extra=UPLOAD_BODY)
async def upload_file(
    request: Request,
    target: BoxPathDep,
    deps: DependenciesDep,
    overwrite: bool = False,
    empty: Annotated[bool, Query(alias="upload")] = False,
    size: Annotated[int | None, Query(ge=0)] = None,
    expires: str | None = None,
) -> Response:
    """Store the body; without a body return an upload link. Neither replaces an existing file unless asked to."""
    if target.address.kind != "file":
        raise Invalid("upload to a file path: <group>/<file>")
    lifetime, conditions = links.parse_lifetime(expires), Conditions.from_headers(join_headers(request))
    check_replace = build_replace_check(conditions, overwrite=overwrite)
    body = read_chunks(request) if empty else await read_body(request)
    try:
        if body is None:
            return await _upload_link_response(target, deps, check_replace, size, lifetime)
        stat = await store_body(deps.uploads, target.key, request, body, check_replace=check_replace)
    except FileExists:
        return await _file_exists_response(target, deps, lifetime)
    except PreconditionFailed:
        if conditions.guards_writes:
            raise
        return await _file_exists_response(target, deps, lifetime)  # stored since the check
    return Response(status_code=201, headers={"ETag": f'"{stat.etag}"'})


async def _file_exists_response(target: BoxPath, deps: Dependencies, lifetime: int) -> Response:
    url = await deps.store.link("PUT", target.key, lifetime, "public")
    return problem_response(FileExists(presigned_put_url=url))


async def _upload_link_response(
    target: BoxPath, deps: Dependencies, check_replace: ReplaceCheck, size: int | None, lifetime: int
) -> Response:
    await refuse_clash(deps.store, target.key)
    old = await deps.store.stat(target.key)
    check_replace(old)
    await deps.quota.reserve(_reservation_request(target, old, size, lifetime))
    return JSONResponse({"presigned_put_url": await deps.store.link("PUT", target.key, lifetime, "public", size)})


def _reservation_request(target: BoxPath, old: Stat | None, size: int | None, lifetime: int) -> ReservationRequest:
    """Without a size nothing is reserved, but a full box issues no link."""
    return ReservationRequest(
        app=target.app,
        box=target.box,
        id=link_reservation_id(target.key),
        min_bytes=1 if size is None else size,
        max_bytes=size or 0,
        lifetime=lifetime,
        replaced_bytes=old.size if old else 0,
        key=target.key,
        old_version=file_version(old),
    )


@router.get("/{box}", operation_id="list_box", summary="List box", response_model=Page[FileJson])
@router.get("/{box}/{path:path}", response_model=FileLinksJson | Page[FileJson], responses=GET_RESPONSES)
async def get_path(
    request: Request,
    target: BoxPathDep,
    deps: DependenciesDep,
    prefix: str = "",
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = PAGE_SIZE,
    as_bytes: Annotated[bool, Query(alias="download")] = False,
    expires: str | None = None,
) -> Response:
    if target.address.kind != "file":
        page = await _list_page(target.key, deps, check_prefix(prefix), cursor, limit)
        return JSONResponse(
            page, headers=next_page_link(_public_path(request), request.scope["query_string"], page["next"])
        )
    stat = await _get_existing(target, deps)
    if as_bytes or BINARY_TYPE in request.headers.get("accept", ""):
        return await send_file(deps.store, stat, request)
    Conditions.from_headers(join_headers(request)).check_read(Version(stat.etag, stat.modified))
    lifetime = links.parse_lifetime(expires)
    links_by_kind = {"presigned_get_url": await deps.store.link("GET", target.key, lifetime, "public")}
    if target.writable:
        links_by_kind["presigned_put_url"] = await deps.store.link("PUT", target.key, lifetime, "public")
    return JSONResponse(links_by_kind)


@router.head("/{box}", operation_id="check_box", summary="Check box", responses=HEAD_RESPONSES)
@router.head("/{box}/{path:path}", responses=HEAD_RESPONSES)
async def head_path(request: Request, target: BoxPathDep, deps: DependenciesDep) -> Response:
    """A folder always exists; its listing may be empty."""
    if target.address.kind != "file":
        return Response()
    return await send_file(deps.store, await _get_existing(target, deps), request)


@router.delete("/{box}/{path:path}", status_code=204)
async def delete_path(request: Request, target: BoxPathDep, deps: DependenciesDep) -> None:
    if target.address.kind == "box":
        raise Invalid("name a file or a group to delete")
    conditions = Conditions.from_headers(join_headers(request))
    if target.address.kind == "group":
        if conditions.guards_writes:
            raise Malformed("If-Match and its like are for a file: a group has no ETag")
        stats = [stat async for stat in deps.store.list(target.key)]
    else:
        existing = await deps.store.stat(target.key)
        conditions.check_write(stat_version(existing))
        stats = [existing] if existing else []
    for stat in stats:
        await deps.store.delete(
            stat.key, expected=ExpectedVersion.from_stat(stat) if conditions.guards_writes else None
        )
    if stats:
        await deps.quota.commit(target.app, target.box, growth=-sum(stat.size for stat in stats))
        deps.changes.mark_changed(target.app, target.box)


async def _get_existing(target: BoxPath, deps: Dependencies) -> Stat:
    stat = await deps.store.stat(target.key)
    if stat is None:
        raise NotFound("there is no such file")
    return stat


async def _list_page(folder: str, deps: Dependencies, prefix: str, cursor: str | None, limit: int) -> Page[FileJson]:
    start_after = "" if cursor is None else str(deps.cursors.read_cursor(folder, cursor))
    stats = [stat async for stat in deps.store.list(folder + prefix, start_after, limit + 1)]
    next_cursor = deps.cursors.make_cursor(folder, stats[limit - 1].key) if len(stats) > limit else None
    return {"items": [_stat_to_json(stat, folder) for stat in stats[:limit]], "next": next_cursor}


def _public_path(request: Request) -> str:
    """The path of the gateway's URL."""
    app, _user, box, path = _split_path(request.scope["raw_path"])
    return f"/{app}/files/{box}/{path}"


def _stat_to_json(stat: Stat, folder: str) -> FileJson:
    return {
        "name": stat.key.removeprefix(folder),
        "size": stat.size,
        "etag": stat.etag,
        "modified": iso_time(stat.modified),
    }
