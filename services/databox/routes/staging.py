"""Stage-in and stage-out: sources of inputs, targets of outputs, and publications."""

from __future__ import annotations

from fastapi import APIRouter

from libs.common.errors import Invalid, NotFound, PreconditionFailed
from libs.common.http.hot_routes import OrjsonResponse
from libs.common.locations import Location
from libs.common.protocol.publication import Moves
from libs.common.protocol.staging import (
    Audience,
    SourcesRequest,
    SourcesResponse,
    StoredFile,
    TargetsRequest,
    TargetsResponse,
    UploadLink,
)
from libs.common.store_keys import area_root, box_of_key, location_key
from libs.common.times import iso_time
from services.databox import db, links
from services.databox.dependencies import Dependencies, DependenciesDep
from services.databox.files.quota import ReservationRequest, file_version, link_reservation_id
from services.databox.store import ExpectedVersion, Stat

router = APIRouter(prefix="/internal/apps/{ns}", include_in_schema=False)
LINK_LIFETIMES_S: dict[Audience, int] = {"inside": links.INTERNAL_LIFETIME_S, "public": links.DEFAULT_LIFETIME_S}


@router.post("/sources")
async def list_sources(ns: str, request: SourcesRequest, deps: DependenciesDep) -> OrjsonResponse:
    keys = [location_key(ns, location) for location in request.locations]
    audience = request.reader if request.links else None
    files = [await _list_files(key, deps, audience) for key in keys]
    refusals = [await _refusal_reason(ns, location_key(ns, target), deps) for target in request.targets]
    return OrjsonResponse(SourcesResponse(sources=tuple(files), refusals=tuple(refusals)).to_json())


async def _refusal_reason(ns: str, folder: str, deps: Dependencies) -> str | None:
    """Why publishing to the folder would fail now; None if it would not."""
    owner = box_of_key(folder)
    if owner is None:
        return None
    async with deps.database.read() as conn:
        box = await db.get_box(conn, *owner)
    if box is None:
        return f"{ns} has no box {owner[1]}"
    usage = await deps.quota.get_usage(ns, box)
    if usage.available > 0:
        return None
    async for _ in deps.store.list(folder, limit=1):
        return None  # a replaced file frees its bytes
    return usage.full_error(box.name).detail


@router.post("/targets")
async def create_targets(ns: str, request: TargetsRequest, deps: DependenciesDep) -> OrjsonResponse:
    keys = [(_file_key(ns, file.location), file.size) for file in request.files]
    for key, size in keys:
        await _reserve_target(key, size, deps)
    urls = [await deps.store.link("PUT", key, links.INTERNAL_LIFETIME_S, "inside", size) for key, size in keys]
    return OrjsonResponse(TargetsResponse(targets=tuple(UploadLink(url=url) for url in urls)).to_json())


@router.put("/publications/{name}")
async def publish_folders(ns: str, name: str, request: Moves, deps: DependenciesDep) -> OrjsonResponse:
    return OrjsonResponse((await deps.publications.publish(ns, name, request.moves)).to_json())


@router.delete("/publications/{name}", status_code=204)
async def withdraw_publication(ns: str, name: str, deps: DependenciesDep) -> None:
    await deps.publications.withdraw(ns, name)


@router.delete("/areas/{area:path}", status_code=204)
async def delete_area(ns: str, area: str, deps: DependenciesDep) -> None:
    async for stat in deps.store.list(area_root(ns, area.removesuffix("/"))):
        await deps.store.delete(stat.key)


@router.post("/removals", status_code=204)
async def revoke_published(ns: str, request: Moves, deps: DependenciesDep) -> None:
    """Delete published files: those of the target whose version is still the source's."""
    for source, target in [(location_key(ns, move.source), location_key(ns, move.target)) for move in request.moves]:
        async for stat in deps.store.list(source):
            published = await deps.store.stat(target + stat.key.removeprefix(source))
            if published is not None and (published.size, published.etag) == (stat.size, stat.etag):
                await _delete_if_unchanged(published, deps)


async def _delete_if_unchanged(stat: Stat, deps: Dependencies) -> None:
    try:
        await deps.store.delete(stat.key, expected=ExpectedVersion.from_stat(stat))
    except PreconditionFailed:  # replaced since the check
        return
    if owner := box_of_key(stat.key):
        await deps.quota.commit(*owner, growth=-stat.size)
        deps.changes.mark_changed(*owner)


async def _list_files(key: str, deps: Dependencies, audience: Audience | None) -> tuple[StoredFile, ...]:
    if not key.endswith("/"):
        existing = await deps.store.stat(key)
        return () if existing is None else (await _describe_file(existing, key.rpartition("/")[2], deps, audience),)
    files = [
        await _describe_file(stat, stat.key.removeprefix(key), deps, audience) async for stat in deps.store.list(key)
    ]
    return tuple(files)


async def _describe_file(stat: Stat, name: str, deps: Dependencies, audience: Audience | None) -> StoredFile:
    """With a link for `audience`, if one is given."""
    file = StoredFile(name=name, size=stat.size, etag=stat.etag, modified=iso_time(stat.modified))
    if audience is None:
        return file
    url = await deps.store.link("GET", stat.key, LINK_LIFETIMES_S[audience], audience)
    return file.model_copy(update={"url": url})


def _file_key(ns: str, location: Location) -> str:
    key = location_key(ns, location)
    if key.endswith("/"):
        raise Invalid(f"location {location}: name a file")
    return key


async def _reserve_target(key: str, size: int, deps: Dependencies) -> None:
    """Reserve the bytes of a file in a box; the internal area has no quota."""
    owner = box_of_key(key)
    if owner is None:
        return
    old = await deps.store.stat(key)
    request = ReservationRequest(
        *owner,
        id=link_reservation_id(key),
        min_bytes=size,
        max_bytes=size,
        lifetime=links.INTERNAL_LIFETIME_S,
        replaced_bytes=old.size if old else 0,
        key=key,
        old_version=file_version(old),
    )
    try:
        await deps.quota.reserve(request)
    except NotFound as error:
        raise Invalid(f"location {key}: {error.detail}") from error
