"""`mlmesh app`: modules on the mesh."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from services.cli import deployments, render, times
from services.cli.client import path
from services.cli.session import App, Mesh, field, talks

nouns = typer.Typer(help="Modules on the mesh.", no_args_is_help=True)
APPS = "/api/v1/apps"


@nouns.command("list")
@talks
def listed(mesh: Mesh) -> None:
    """All apps that this token may read."""
    found = list(mesh.client.pages(APPS))
    problem = {"problem": field("poll_error")} if any(app.get("poll_error") for app in found) else {}
    mesh.table(
        found,
        name=field("name"),
        title=field("title"),
        status=lambda app: (app.get("newest") or {}).get("status"),
        live=lambda app: deployments.short((app.get("live") or {}).get("commit")),
        live_since=lambda app: times.age((app.get("live") or {}).get("live_at")),
        **problem,
    )


@nouns.command("show")
@talks
def show(mesh: Mesh, app: App) -> None:
    """Addresses, live deployment, components and boxes of one app."""
    found = mesh.client.get(APPS + path(app))
    mesh.show(found, _pairs(found))


def _pairs(found: dict[str, Any]) -> list[tuple[str, Any]]:
    live, newest = found.get("live") or {}, found.get("newest") or {}
    lines = [
        ("app", found["name"]),
        ("title", found.get("title")),
        ("repository", _origin(found.get("repository"))),
        *_problem(found.get("repository")),
        (
            "live",
            f"{deployments.short(live['commit'])}  {times.age(live['live_at'])}" if live else "nothing yet",
        ),
    ]
    if newest and newest.get("id") != live.get("id"):
        lines.append(("newest", f"{newest['status']} (mlmesh deployment show {found['name']} {newest['id']})"))
    for api in found.get("apis", []):
        lines.append(("api", f"{api['name']}  {api['url']}"))
        lines += [("docs", f"{api['name']}  {api['docs']}")] if api.get("docs") else []
    lines += [("component", _component(one)) for one in found.get("components", [])]
    lines += [("box", _box(one)) for one in found.get("boxes", [])]
    missing = [f"{one['service']}: {one['detail']}" for one in found.get("unavailable", [])]
    return [*lines, *(("unavailable", one) for one in missing)]


def _origin(repository: dict[str, Any] | None) -> str:
    return f"{repository['url']} ({repository.get('branch') or 'main'})" if repository else "none"


def _problem(repository: dict[str, Any] | None) -> list[tuple[str, Any]]:
    """Why nothing comes from the repository any more."""
    why = repository and repository.get("poll_error")
    return [("problem", why)] if why else []


def _component(one: dict[str, Any]) -> str:
    why = render.reason(one.get("reason"))
    return f"{one['name']}  {one['status']}" + (f"  {why}" if why else "")


def _box(box: dict[str, Any]) -> str:
    detached = "  detached" if box.get("detached") else ""
    return f"{box['name']}  {render.size(box.get('used'))} of {render.size(box.get('capacity'))}{detached}"


@nouns.command("sync")
@talks
def sync(
    mesh: Mesh,
    app: App,
    wait: deployments.Wait = False,
    timeout: deployments.Timeout = deployments.DEFAULT_TIMEOUT,
) -> None:
    """Deploy the head of the app's branch now."""
    within = times.duration(timeout) if wait else None
    deployments.follow(mesh, app, mesh.client.post(f"{APPS}{path(app)}/sync"), within)


@nouns.command("delete")
@talks
def delete(mesh: Mesh, app: App, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Remove an app; its boxes keep their data."""
    mesh.client.get(APPS + path(app))  # nobody is asked about what is not there
    if not yes:
        typer.confirm(f"delete {app}?", abort=True, err=True)
    mesh.client.delete(APPS + path(app))
    mesh.say({"deleted": app}, f"{app} is deleted; its boxes keep their data")
