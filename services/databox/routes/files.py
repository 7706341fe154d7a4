"""A caller's files: the public file routes, as the gateway forwards them.

The path is read from the request's raw bytes and decoded once, so no encoding of a name is mistaken for another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import JSONResponse

from libs.common.errors import Invalid, Malformed, NotFound, PreconditionFailed
from libs.common.http.conditions import Conditions, Version
from libs.common.http.pagination import link_to
from libs.common.http.problem import rendered
from libs.common.identity import caller
from libs.common.store_keys import Address, address, check_prefix, decoded
from libs.common.times import iso
from services.databox import db as tables
from services.databox import links
from services.databox.dependencies import Given, Parts
from services.databox.files.preconditions import Exists, judge, version
from services.databox.files.quota import Ask, link_reservation, mark
from services.databox.files.uploads import Judge, refuse_clash
from services.databox.routes.bodies import chunks, content, download, fields, put
from services.databox.store import Only, Stat

router = APIRouter(prefix="/internal/apps/{ns}/users/{user}/files")
PAGE = 100
LARGEST_PAGE = 1000
BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Place:
    """What the request's path names, in a box that is there."""

    app: str
    box: str
    address: Address
    writable: bool
    """By this caller."""

    @property
    def key(self) -> str:
        return self.address.key


async def place(request: Request, parts: Given) -> Place:
    """Raises Invalid and Malformed for bad names, Forbidden for a caller without files, NotFound without the box."""
    app, user, box, path = _names(request.scope["raw_path"])
    found = address(app, box, user, path)
    async with parts.database.read() as c:
        boxes = [one.name for one in await tables.boxes_of(c, app) if not one.detached]
    if box not in boxes:
        raise NotFound(f"{app} has no box {box}; it has {', '.join(boxes) or 'none'}", boxes=boxes)
    return Place(app, box, found, caller(request.headers).may("write", app))


def _names(raw: bytes) -> tuple[str, str, str, str]:
    parts = [decoded(part) for part in raw.split(b"/", 8)]
    if len(parts) < 8 or (parts[4], parts[6]) != ("users", "files"):
        raise NotFound()
    return parts[3], parts[5], parts[7], parts[8] if len(parts) > 8 else ""


Named = Annotated[Place, Depends(place)]


@router.put("/{box}")
@router.put("/{box}/{path:path}")
async def upload(
    request: Request,
    named: Named,
    parts: Given,
    overwrite: bool = False,
    empty: Annotated[bool, Query(alias="upload")] = False,
    size: Annotated[int | None, Query(ge=0)] = None,
    expires: str | None = None,
) -> Response:
    """Bytes are stored; without bytes a link to PUT them is given out. What is there is replaced by neither unasked."""
    if named.address.kind != "file":
        raise Invalid("bytes go to a file: <group>/<file>")
    lifetime, conditions = links.lifetime(expires), Conditions.of(fields(request))
    replacing = judge(conditions, overwrite=overwrite)
    body = chunks(request) if empty else await content(request)
    try:
        if body is None:
            return await _link_to_put(named, parts, replacing, size, lifetime)
        stat = await put(parts.uploads, named.key, request, body, judge=replacing)
    except Exists:
        return await _exists(named, parts, lifetime)
    except PreconditionFailed:
        if conditions.guard_writes:
            raise
        return await _exists(named, parts, lifetime)  # since a moment ago
    return Response(status_code=201, headers={"ETag": f'"{stat.etag}"'})


async def _exists(named: Place, parts: Parts, lifetime: int) -> Response:
    url = await parts.store.link("PUT", named.key, lifetime, "public")
    return rendered(Exists(presigned_put_url=url))


async def _link_to_put(named: Place, parts: Parts, replacing: Judge, size: int | None, lifetime: int) -> Response:
    await refuse_clash(parts.store, named.key)
    old = await parts.store.stat(named.key)
    replacing(old)
    await parts.quota.reserve(_room(named, old, size, lifetime))
    return JSONResponse({"presigned_put_url": await parts.store.link("PUT", named.key, lifetime, "public", size)})


def _room(named: Place, old: Stat | None, size: int | None, lifetime: int) -> Ask:
    """Without a size nothing is reserved, but a full box gives out no link."""
    return Ask(
        named.app,
        named.box,
        link_reservation(named.key),
        1 if size is None else size,
        size or 0,
        lifetime,
        old.size if old else 0,
        key=named.key,
        before=mark(old),
    )


@router.get("/{box}")
@router.get("/{box}/{path:path}")
async def read(
    request: Request,
    named: Named,
    parts: Given,
    prefix: str = "",
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
    as_bytes: Annotated[bool, Query(alias="download")] = False,
    expires: str | None = None,
) -> Response:
    if named.address.kind != "file":
        page = await _page(named.key, parts, check_prefix(prefix), cursor, limit)
        return JSONResponse(page, headers=link_to(_public(request), request.scope["query_string"], page["next"]))
    stat = await _existing(named, parts)
    if as_bytes or BYTES in request.headers.get("accept", ""):
        return await download(parts.store, stat, request)
    Conditions.of(fields(request)).check_read(Version(stat.etag, stat.modified))
    lifetime = links.lifetime(expires)
    found = {"presigned_get_url": await parts.store.link("GET", named.key, lifetime, "public")}
    if named.writable:
        found["presigned_put_url"] = await parts.store.link("PUT", named.key, lifetime, "public")
    return JSONResponse(found)


@router.head("/{box}")
@router.head("/{box}/{path:path}")
async def described(request: Request, named: Named, parts: Given) -> Response:
    """A folder is always there: its listing may be empty."""
    if named.address.kind != "file":
        return Response()
    return await download(parts.store, await _existing(named, parts), request)


@router.delete("/{box}/{path:path}", status_code=204)
async def remove(request: Request, named: Named, parts: Given) -> None:
    if named.address.kind == "box":
        raise Invalid("name a file or a group to delete")
    conditions = Conditions.of(fields(request))
    if named.address.kind == "group":
        if conditions.guard_writes:
            raise Malformed("If-Match and its like are for a file: a group has no ETag")
        gone = [stat async for stat in parts.store.list(named.key)]
    else:
        found = await parts.store.stat(named.key)
        conditions.check_write(version(found))
        gone = [found] if found else []
    for stat in gone:
        await parts.store.delete(stat.key, only=Only.of(stat) if conditions.guard_writes else None)
    if gone:
        await parts.quota.settle(named.app, named.box, grown=-sum(stat.size for stat in gone))
        parts.changes.note(named.app, named.box)


async def _existing(named: Place, parts: Parts) -> Stat:
    found = await parts.store.stat(named.key)
    if found is None:
        raise NotFound("there is no such file")
    return found


async def _page(folder: str, parts: Parts, prefix: str, cursor: str | None, limit: int) -> dict[str, Any]:
    after = "" if cursor is None else str(parts.cursors.last(folder, cursor))
    found = [stat async for stat in parts.store.list(folder + prefix, after, limit + 1)]
    more = parts.cursors.after(folder, found[limit - 1].key) if len(found) > limit else None
    return {"items": [_item(stat, folder) for stat in found[:limit]], "next": more}


def _public(request: Request) -> str:
    """The path as the caller wrote it to the gateway."""
    app, _user, box, path = _names(request.scope["raw_path"])
    return f"/{app}/files/{box}/{path}"


def _item(stat: Stat, folder: str) -> dict[str, Any]:
    return {
        "name": stat.key.removeprefix(folder),
        "size": stat.size,
        "etag": stat.etag,
        "modified": iso(stat.modified),
    }
