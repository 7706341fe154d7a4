"""Files for what runs: where a stage's inputs are, where its outputs go, and their publication."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from libs.common.errors import Invalid, NotFound, PreconditionFailed
from libs.common.locations import Location
from libs.common.store_keys import area_root, box_of, key_of
from libs.common.times import iso
from services.databox import db as tables
from services.databox import links
from services.databox.dependencies import Given, Parts
from services.databox.files.quota import Ask, link_reservation, mark
from services.databox.store import Only, Reader, Stat

router = APIRouter(prefix="/internal/apps/{ns}")
LIFETIMES_S: dict[Reader, int] = {"inside": links.INSIDE_S, "public": links.DEFAULT_S}


class Wanted(BaseModel):
    locations: list[Location]
    links: bool = False
    reader: Reader = "inside"
    targets: list[Location] = []
    """Folders that something is to be published to later."""


class Target(BaseModel):
    location: Location
    size: int = Field(ge=0)


class Targets(BaseModel):
    files: list[Target]


class Move(BaseModel):
    source: Location
    target: Location


class Moves(BaseModel):
    moves: list[Move]


@router.post("/sources")
async def sources(ns: str, wanted: Wanted, parts: Given) -> dict[str, Any]:
    keys = [key_of(ns, location) for location in wanted.locations]
    reader = wanted.reader if wanted.links else None
    found = [await _files(key, parts, reader) for key in keys]
    refusals = [await _refusal(ns, key_of(ns, target), parts) for target in wanted.targets]
    return {"sources": found, "refusals": refusals}


async def _refusal(ns: str, folder: str, parts: Parts) -> str | None:
    """Why nothing could be published there as things are; None when something could."""
    owner = box_of(folder)
    if owner is None:
        return None
    async with parts.database.read() as c:
        box = await tables.box(c, *owner)
    if box is None:
        return f"{ns} has no box {owner[1]}"
    use = await parts.quota.use(ns, box)
    if use.left > 0:
        return None
    async for _ in parts.store.list(folder, limit=1):
        return None  # what is replaced gives its room
    return use.refusal(box.name).detail


@router.post("/targets")
async def targets(ns: str, wanted: Targets, parts: Given) -> dict[str, Any]:
    keys = [(_file_key(ns, one.location), one.size) for one in wanted.files]
    for key, size in keys:
        await _reserve(key, size, parts)
    return {
        "targets": [{"url": await parts.store.link("PUT", key, links.INSIDE_S, "inside", size)} for key, size in keys]
    }


@router.put("/publications/{name}")
async def publish(ns: str, name: str, wanted: Moves, parts: Given) -> dict[str, Any]:
    return await parts.publications.publish(ns, name, [(move.source, move.target) for move in wanted.moves])


@router.delete("/publications/{name}", status_code=204)
async def withdraw(ns: str, name: str, parts: Given) -> None:
    await parts.publications.withdraw(ns, name)


@router.delete("/areas/{area:path}", status_code=204)
async def remove(ns: str, area: str, parts: Given) -> None:
    async for stat in parts.store.list(area_root(ns, area.removesuffix("/"))):
        await parts.store.delete(stat.key)


@router.post("/removals", status_code=204)
async def take_back(ns: str, wanted: Moves, parts: Given) -> None:
    """What publications brought: files of the target whose version is the source's. What came there since stays."""
    for source, target in [(key_of(ns, move.source), key_of(ns, move.target)) for move in wanted.moves]:
        async for stat in parts.store.list(source):
            found = await parts.store.stat(target + stat.key.removeprefix(source))
            if found is not None and (found.size, found.etag) == (stat.size, stat.etag):
                await _remove(found, parts)


async def _remove(found: Stat, parts: Parts) -> None:
    try:
        await parts.store.delete(found.key, only=Only.of(found))
    except PreconditionFailed:  # replaced in this moment
        return
    if owner := box_of(found.key):
        await parts.quota.settle(*owner, grown=-found.size)
        parts.changes.note(*owner)


async def _files(key: str, parts: Parts, reader: Reader | None) -> list[dict[str, Any]]:
    if not key.endswith("/"):
        found = await parts.store.stat(key)
        return [] if found is None else [await _file(found, key.rpartition("/")[2], parts, reader)]
    return [await _file(stat, stat.key.removeprefix(key), parts, reader) async for stat in parts.store.list(key)]


async def _file(stat: Stat, name: str, parts: Parts, reader: Reader | None) -> dict[str, Any]:
    """With a link for `reader`, if there is one."""
    found = {"name": name, "size": stat.size, "etag": stat.etag, "modified": iso(stat.modified)}
    if reader is not None:
        found["url"] = await parts.store.link("GET", stat.key, LIFETIMES_S[reader], reader)
    return found


def _file_key(ns: str, location: Location) -> str:
    key = key_of(ns, location)
    if key.endswith("/"):
        raise Invalid(f"location {location}: name a file")
    return key


async def _reserve(key: str, size: int, parts: Parts) -> None:
    """Room for a file in a box; the internal area has no capacity."""
    owner = box_of(key)
    if owner is None:
        return
    old = await parts.store.stat(key)
    ask = Ask(*owner, link_reservation(key), size, size, links.INSIDE_S, old.size if old else 0, (), key, mark(old))
    try:
        await parts.quota.reserve(ask)
    except NotFound as error:
        raise Invalid(f"location {key}: {error.detail}") from error
