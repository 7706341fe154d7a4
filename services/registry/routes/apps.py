"""`/api/v1/apps`: apps, combined from the registry, the scheduler and databox."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, TypeVar, cast

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from libs.common.component_status import ComponentJson
from libs.common.db import database_time
from libs.common.errors import Forbidden, Invalid, MeshError, NotFound
from libs.common.http.client import ServiceClient
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import Page
from libs.common.identity import Caller
from libs.common.manifests.fields import Name
from libs.common.manifests.platformapp import RESERVED_NAMESPACES
from libs.common.protocol.app_status import AppStatus
from libs.common.protocol.box import BoxList
from libs.common.protocol.message import Message
from libs.common.storable_text import StorableText
from libs.common.templates.template import Repository, get_template
from libs.common.times import iso_time
from services.registry.accounts.roles import may_create_apps
from services.registry.app_creation import add_app
from services.registry.apps import App
from services.registry.db import access_feed, apps, deployments, sessions
from services.registry.dependencies import AppNotFound, CallerDep, Dependencies, DependenciesDep
from services.registry.deployments.state import Deployment
from services.registry.published_apis import list_apis
from services.registry.routes.app_shapes import (
    AppJson,
    AppSummaryJson,
    BoxJson,
    DeploymentSummaryJson,
    NewAppJson,
    UnavailableServiceJson,
)

router = DocumentedRouter(prefix="/api/v1/apps", tags=["apps"])
AnyMessage = TypeVar("AnyMessage", bound=Message)
PEER_TIMEOUT_S = 2.0
"""A service that takes longer is shown as unavailable."""


class NewApp(BaseModel):
    """An app to create; with a template it has a repository in the mesh, which is deployed at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[Name, Field(examples=["texts"])]
    title: Annotated[StorableText, Field(max_length=200, examples=["Texts"])] = ""
    description: StorableText = ""
    template: Annotated[StorableText | None, Field(examples=["function"])] = None
    parameters: Annotated[dict[str, str], Field(examples=[{}])] = {}
    """Of the template; those that are left out have its defaults."""


@router.get("")
async def list_apps(deps: DependenciesDep, caller: CallerDep) -> Page[AppSummaryJson]:
    """The apps that the caller may read."""
    async with deps.database.read() as conn:
        readable = [app for app in await apps.list_apps(conn) if caller.has_scope("read", app.name)]
        live = {deployment.app: deployment for deployment in await deployments.list_by_status(conn, "live")}
        newest = {app.name: await deployments.list_page(conn, app.name, 1) for app in readable}
        errors = await apps.list_poll_errors(conn)
    items = [_summarize_app(app, live.get(app.name), newest[app.name], errors.get(app.name)) for app in readable]
    return {"items": items, "next": None}


def _summarize_app(
    app: App, live: Deployment | None, newest: list[Deployment], poll_error: str | None
) -> AppSummaryJson:
    return {
        "name": app.name,
        "title": app.title,
        "created_at": iso_time(app.created_at),
        "live": _summarize_deployment(live),
        "newest": _summarize_deployment(newest[0] if newest else None),
        "poll_error": poll_error,
    }


def _summarize_deployment(deployment: Deployment | None) -> DeploymentSummaryJson | None:
    if deployment is None:
        return None
    return {
        "id": deployment.id,
        "commit": deployment.commit_id,
        "status": deployment.status,
        "created_at": iso_time(deployment.created_at),
        "live_at": iso_time(deployment.live_at),
    }


@router.post("", status_code=201)
async def create_app(body: NewApp, deps: DependenciesDep, caller: CallerDep, response: Response) -> NewAppJson:
    """Who is a developer of some app may create others, and owns them."""
    if not may_create_apps(caller.person, caller.scopes):
        if caller.person:
            raise Forbidden("only who is a developer of some app may create others; ask an administrator for that role")
        caller.require_scope("write", body.name)
    elif await _is_limited(deps, caller):
        caller.require_scope("write", body.name)
    if body.name in RESERVED_NAMESPACES:
        raise Invalid(f'"{body.name}" is reserved; choose another name')
    if body.template is None and body.parameters:
        raise Invalid("parameters are those of a template; name it, or leave them out")
    app = App(body.name, body.title or body.name, body.description)
    response.headers["Location"] = f"/api/v1/apps/{app.name}"
    if body.template is not None:
        deployment = await _create_from_template(app, body.template, body.parameters, deps, caller)
        created = await _load_app(app.name, deps)
        return {**created, "deployment": deployment.id, "clone": deps.hosted.get_url(app.name)}
    await deps.app_remover.wait_until_removed(app.name)
    async with deps.database.write() as conn:
        await add_app(conn, app, caller, await database_time(conn))
    return cast(NewAppJson, await _load_app(app.name, deps))


async def _is_limited(deps: Dependencies, caller: Caller) -> bool:
    """Whether the caller's personal token is for some apps only, or may not decide about any."""
    async with deps.database.read() as conn:
        session = await sessions.get(conn, caller.session)
    scopes = () if session is None else session.scopes
    return scopes is not None and not {"admin", "write"}.intersection(scopes)


async def _create_from_template(
    app: App, name: str, parameters: Mapping[str, str], deps: Dependencies, caller: Caller
) -> Deployment:
    repository = Repository(app.name, app.title, deps.settings.public_url)
    try:
        template = await asyncio.to_thread(get_template, name)
    except NotFound as error:
        raise Invalid(error.detail) from error
    files = await asyncio.to_thread(template.render, repository, parameters)
    await deps.app_remover.wait_until_removed(app.name)
    return await deps.app_creator.create(app, files, f"First version, from the template {name}", caller)


@router.get("/{ns}")
async def show_app(ns: str, deps: DependenciesDep, caller: CallerDep) -> AppJson:
    caller.require_scope("read", ns)
    return await _load_app(ns, deps)


async def _load_app(ns: str, deps: Dependencies) -> AppJson:
    """Raises AppNotFound."""
    async with deps.database.read() as conn:
        app = await apps.get(conn, ns)
        if app is None:
            raise AppNotFound(ns)
        repository = await apps.get_repository(conn, ns)
        live, newest = await deployments.get_live(conn, ns), await deployments.list_page(conn, ns, 1)
        catalog = await deployments.get_catalog(conn, live.revision) if live and live.revision else None
    running, stored = await asyncio.gather(
        _get_or_unavailable(deps.peers.scheduler, f"/internal/apps/{ns}", AppStatus),
        _get_or_unavailable(deps.peers.databox, f"/internal/apps/{ns}/boxes", BoxList),
    )
    components = running.components if isinstance(running, AppStatus) else ()
    boxes = stored.items if isinstance(stored, BoxList) else ()
    return {
        "name": app.name,
        "title": app.title,
        "description": app.description,
        "module_kind": app.module_kind,
        "owners": list(app.owners),
        "created_at": iso_time(app.created_at),
        "repository": repository.to_json(deps.hosted.get_url(ns)) if repository else None,
        "apis": list_apis(deps.settings.public_url, ns, catalog),
        "live": live.to_json() if live else None,
        "newest": newest[0].to_json() if newest else None,
        "components": [cast(ComponentJson, component) for component in components],
        "boxes": [cast(BoxJson, box.to_json()) for box in boxes],
        "unavailable": [part for part in (running, stored) if not isinstance(part, Message)],
    }


async def _get_or_unavailable(
    peer: ServiceClient, path: str, response: type[AnyMessage]
) -> AnyMessage | UnavailableServiceJson:
    """The response, or why there is none: a failing service must not fail the page."""
    try:
        return response.model_validate(await peer.get(path, timeout=PEER_TIMEOUT_S) or {})
    except MeshError as error:
        return {"service": peer.name, "detail": error.detail}


@router.delete("/{ns}", status_code=204)
async def delete_app(ns: str, deps: DependenciesDep, caller: CallerDep) -> None:
    """Deletes the rows now; the scheduler then removes routes and instances. Boxes keep their data."""
    caller.require_scope("write", ns)
    async with deps.database.write() as conn:
        if not await apps.remove(conn, ns, await database_time(conn)):
            raise AppNotFound(ns)
        await access_feed.record_change(conn, ns, deleted=True)
    deps.publish_access_change(ns)
    deps.app_remover.wake()
