"""`/api/v1/apps`: what there is, made of what every service knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from libs.common.db import clock
from libs.common.errors import Conflict, Invalid, MeshError
from libs.common.http.client import Peer
from libs.common.manifests.catalog import Catalog
from libs.common.manifests.fields import Name
from libs.common.manifests.platformapp import RESERVED_NAMESPACES
from libs.common.storable_text import Text
from libs.common.times import iso
from services.registry.apps import App
from services.registry.db import access_feed, apps, deployments
from services.registry.dependencies import Here, NoApp, Parts, Who
from services.registry.deployments.state import Deployment

router = APIRouter(prefix="/api/v1/apps")
PEER_TIMEOUT_S = 2.0
"""A part that takes longer is shown as unavailable."""


class NewApp(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    title: Annotated[Text, Field(max_length=200)] = ""
    description: Text = ""


@router.get("")
async def listed(parts: Here, who: Who) -> dict[str, Any]:
    """The apps that the caller may read."""
    async with parts.database.read() as c:
        found = [app for app in await apps.listed(c) if who.may("read", app.name)]
        live = {one.app: one for one in await deployments.with_status(c, "live")}
        newest = {app.name: await deployments.page(c, app.name, 1) for app in found}
        errors = await apps.poll_errors(c)
    items = [_summary(app, live.get(app.name), newest[app.name], errors.get(app.name)) for app in found]
    return {"items": items, "next": None}


def _summary(app: App, live: Deployment | None, newest: list[Deployment], poll_error: str | None) -> dict[str, Any]:
    return {
        "name": app.name,
        "title": app.title,
        "created_at": iso(app.created_at),
        "live": _brief(live),
        "newest": _brief(newest[0] if newest else None),
        "poll_error": poll_error,
    }


def _brief(deployment: Deployment | None) -> dict[str, Any] | None:
    if deployment is None:
        return None
    return {name: deployment.shown()[name] for name in ("id", "commit", "status", "created_at", "live_at")}


@router.post("", status_code=201)
async def create(body: NewApp, parts: Here, who: Who, response: Response) -> dict[str, Any]:
    who.require("write", body.name)
    if body.name in RESERVED_NAMESPACES:
        raise Invalid(f'"{body.name}" is reserved; choose another name')
    app = App(body.name, body.title or body.name, body.description)
    async with parts.database.write() as c:
        if await apps.get(c, app.name) is not None:
            raise Conflict(f'there is an app "{app.name}" already')
        if app.name in await apps.removing(c):
            raise Conflict(f'app "{app.name}" is still being removed; try again in a moment')
        await apps.add(c, app, await clock(c))
        await access_feed.bump(c, app.name)
    response.headers["Location"] = f"/api/v1/apps/{app.name}"
    return await show(app.name, parts, who)


@router.get("/{ns}")
async def show(ns: str, parts: Here, who: Who) -> dict[str, Any]:
    who.require("read", ns)
    async with parts.database.read() as c:
        app = await apps.get(c, ns)
        if app is None:
            raise NoApp(ns)
        repository = await apps.repository(c, ns)
        live, newest = await deployments.live(c, ns), await deployments.page(c, ns, 1)
        catalog = await deployments.catalog(c, live.revision) if live and live.revision else None
    running, stored = await asyncio.gather(
        _asked(parts.peers.scheduler, f"/internal/apps/{ns}"), _asked(parts.peers.databox, f"/internal/apps/{ns}/boxes")
    )
    return {
        "name": app.name,
        **app.declared(),
        "created_at": iso(app.created_at),
        "repository": repository and repository.shown(),
        "apis": _apis(parts, ns, catalog),
        "live": live and live.shown(),
        "newest": newest[0].shown() if newest else None,
        "components": running.get("components", []),
        "boxes": stored.get("items", []),
        "unavailable": [part["unavailable"] for part in (running, stored) if "unavailable" in part],
    }


async def _asked(peer: Peer, path: str) -> dict[str, Any]:
    """A missing part is named, and never an error of the whole."""
    try:
        return dict(await peer.get(path, timeout=PEER_TIMEOUT_S) or {})
    except MeshError as error:
        return {"unavailable": {"service": peer.name, "detail": error.detail}}


def _apis(parts: Parts, ns: str, catalog: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The published APIs with their addresses."""
    if catalog is None:
        return []
    found, root = Catalog.from_json(catalog), f"{parts.settings.public_url}/{ns}"
    published = ((name, api.spec) for name, api in sorted(found.apis.items()) if api.spec.published)
    return [{"name": name, **address} for name, spec in published for address in _addresses(root, spec, found)]


def _addresses(root: str, spec: Any, catalog: Catalog) -> Iterator[dict[str, Any]]:
    """Where it answers: a function and a pipeline have a page that describes them, files an address for each box."""
    path = f"{root}/{spec.restful_api.path}"
    if spec.ml_component:
        component = catalog.components.get(spec.ml_component.name)
        if component is not None and component.spec.ml_service.app:
            yield {"target": "ml", "url": f"{path}/"}
        else:
            yield {"target": "ml", "url": f"{path}/predict", "docs": f"{path}/docs"}
    elif spec.experiment_pipeline:
        yield {"target": "pipeline", "url": f"{path}/runs", "docs": f"{path}/docs"}
    elif spec.files is not None:
        yield from ({"target": "files", "url": f"{root}/files/{box}/"} for box in sorted(catalog.boxes))
    else:
        yield {"target": "pipelines", "url": f"{root}/runs"}


@router.delete("/{ns}", status_code=204)
async def delete(ns: str, parts: Here, who: Who) -> None:
    """Its rows go at once; routes and instances as soon as the scheduler hears of it. Boxes keep their data."""
    who.require("write", ns)
    async with parts.database.write() as c:
        if not await apps.remove(c, ns, await clock(c)):
            raise NoApp(ns)
        await access_feed.bump(c, ns, deleted=True)
    parts.access_changed(ns)
    parts.remover.wake()
