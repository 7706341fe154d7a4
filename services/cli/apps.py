"""`mlmesh app`: modules on the mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import deployments, render, times
from services.cli.arguments import parse_assignments
from services.cli.cli_errors import Failure
from services.cli.client import url_path
from services.cli.deployment_view import short_commit
from services.cli.session import App, Mesh, field, mesh_command

if TYPE_CHECKING:
    from libs.common.component_status import ComponentJson

nouns = typer.Typer(help="Modules on the mesh.", no_args_is_help=True)
APPS = "/api/v1/apps"
CREDENTIAL_HELPER = "credential.helper='!mlmesh git-credential'"
"""The setting that signs Git in, for a shell."""


@nouns.command("list")
@mesh_command
def list_apps(mesh: Mesh) -> None:
    """All apps that this token may read."""
    apps = list(mesh.client.iterate_pages(APPS))
    problem = {"problem": field("poll_error")} if any(app.get("poll_error") for app in apps) else {}
    mesh.print_table(
        apps,
        name=field("name"),
        title=field("title"),
        status=lambda app: (app.get("newest") or {}).get("status"),
        live=lambda app: short_commit((app.get("live") or {}).get("commit")),
        live_since=lambda app: times.format_age((app.get("live") or {}).get("live_at")),
        **problem,
    )


@nouns.command("create")
@mesh_command
def create_app(
    mesh: Mesh,
    app: App,
    template: Annotated[
        str | None, typer.Option("--template", metavar="NAME", help="What it begins with (mlmesh template list).")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="Default: its name.")] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--parameter", metavar="NAME=VALUE", help="Of the template. Repeatable.")
    ] = None,
    wait: deployments.Wait = False,
    timeout: deployments.Timeout = deployments.DEFAULT_TIMEOUT,
) -> None:
    """Make an app; with a template it has a repository in the mesh, which is deployed at once."""
    within = times.parse_duration(timeout) if wait else None
    body: dict[str, Any] = {"name": app, "template": template, "parameters": dict(parse_assignments(parameters or ()))}
    created = mesh.client.post(APPS, body if title is None else {**body, "title": title})
    if template is None:
        push = f"git push {mesh.client.url}/git/{app}.git main"
        mesh.print_sentence(created, f"{app} is there, without a repository; push one with: {push}")
        return
    clone = f"its repository: git clone --config {CREDENTIAL_HELPER} {created['clone']}"
    try:
        deployments.follow_deployment(mesh, app, created["newest"], within)
    except Failure:
        render.write_note(clone)
        raise
    render.write_note(clone)


@nouns.command("show")
@mesh_command
def show_app(mesh: Mesh, app: App) -> None:
    """Addresses, live deployment, components and boxes of one app."""
    details = mesh.client.get(APPS + url_path(app))
    mesh.print_pairs(details, _app_pairs(details))


def _app_pairs(details: dict[str, Any]) -> list[tuple[str, Any]]:
    live, newest = details.get("live") or {}, details.get("newest") or {}
    lines = [
        ("app", details["name"]),
        ("title", details.get("title")),
        ("repository", _repository_text(details.get("repository"))),
        *_problem_pairs(details.get("repository")),
        (
            "live",
            f"{short_commit(live['commit'])}  {times.format_age(live['live_at'])}" if live else "nothing yet",
        ),
    ]
    if newest and newest.get("id") != live.get("id"):
        lines.append(("newest", f"{newest['status']} (mlmesh deployment show {details['name']} {newest['id']})"))
    for api in details.get("apis", []):
        lines.append(("api", f"{api['name']}  {api['url']}"))
        lines += [("docs", f"{api['name']}  {api['docs']}")] if api.get("docs") else []
    lines += [("component", _component_text(item)) for item in details.get("components", [])]
    lines += [("box", _box_text(item)) for item in details.get("boxes", [])]
    missing = [f"{item['service']}: {item['detail']}" for item in details.get("unavailable", [])]
    return [*lines, *(("unavailable", item) for item in missing)]


def _repository_text(repository: dict[str, Any] | None) -> str:
    if not repository:
        return "none"
    tags = repository.get("tags")
    return f"{repository['url']} ({f'tags {tags}' if tags else repository.get('branch') or 'main'})"


def _problem_pairs(repository: dict[str, Any] | None) -> list[tuple[str, Any]]:
    """What is wrong with the repository: its last poll, or what the forge shows of its commits."""
    repository = repository or {}
    why, statuses = repository.get("poll_error"), repository.get("status_error")
    pairs = [("problem", why)] if why else []
    return [*pairs, ("problem", f"statuses are not delivered: {statuses}")] if statuses else pairs


def _component_text(component: ComponentJson) -> str:
    why = render.reason_text(component.get("reason"))
    return f"{component['name']}  {component['status']}" + (f"  {why}" if why else "")


def _box_text(box: dict[str, Any]) -> str:
    detached = "  detached" if box.get("detached") else ""
    return f"{box['name']}  {render.size_text(box.get('used'))} of {render.size_text(box.get('capacity'))}{detached}"


@nouns.command("sync")
@mesh_command
def sync_app(
    mesh: Mesh,
    app: App,
    wait: deployments.Wait = False,
    timeout: deployments.Timeout = deployments.DEFAULT_TIMEOUT,
) -> None:
    """Deploy the head of the app's branch now."""
    within = times.parse_duration(timeout) if wait else None
    deployments.follow_deployment(mesh, app, mesh.client.post(f"{APPS}{url_path(app)}/sync"), within)


@nouns.command("deliveries")
@mesh_command
def list_deliveries(mesh: Mesh, app: App) -> None:
    """The last webhooks that a forge sent; of refused ones which check failed, and what to set."""
    mesh.print_table(
        mesh.client.get(f"{APPS}{url_path(app, 'deliveries')}")["items"],
        id=field("id"),
        received=lambda delivery: times.format_age(delivery.get("received_at")),
        forge=field("forge"),
        event=field("event"),
        ref=field("ref"),
        answer=field("status"),
        deployment=field("deployment"),
        reason=lambda delivery: (delivery.get("failed") or {}).get("detail"),
    )


@nouns.command("redeliver")
@mesh_command
def redeliver(
    mesh: Mesh,
    app: App,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Its id in the list of deliveries.")],
    wait: deployments.Wait = False,
    timeout: deployments.Timeout = deployments.DEFAULT_TIMEOUT,
) -> None:
    """Deploy the branch's head as if the forge sent this delivery again."""
    within = times.parse_duration(timeout) if wait else None
    path = f"{APPS}{url_path(app, 'deliveries', delivery, 'redeliver')}"
    deployments.follow_deployment(mesh, app, mesh.client.post(path), within)


@nouns.command("delete")
@mesh_command
def delete_app(
    mesh: Mesh, app: App, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Remove an app with its secrets and its repository in the mesh; its boxes keep their data."""
    mesh.client.get(APPS + url_path(app))  # fail before the question if the app is missing
    if not yes:
        question = f"delete {app}, with the values of its secrets and what was pushed to the mesh?"
        typer.confirm(question, abort=True, err=True)
    mesh.client.delete(APPS + url_path(app))
    mesh.print_sentence({"deleted": app}, f"{app} is deleted; its boxes keep their data")
