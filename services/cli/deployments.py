"""`mlmesh deployment`: deployments of pushed commits, and their progress."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from services.cli import render, times
from services.cli.cli_errors import Failure
from services.cli.client import url_path
from services.cli.deployment_view import (
    change_lines,
    deployment_lines,
    first_line,
    progress_lines,
    short_commit,
    status_text,
)
from services.cli.logs import print_logs
from services.cli.session import App, Mesh, field, mesh_command, mesh_command_without_json

nouns = typer.Typer(help="What was pushed, and what became of it.", no_args_is_help=True)
POLL_INTERVAL_S = 0.3
DEFAULT_TIMEOUT = "30m"
Wait = Annotated[bool, typer.Option("--wait", help="Until it is live or failed.")]
Timeout = Annotated[str, typer.Option("--timeout", metavar="TIME", help="How long to wait: 90s, 10m, 2h.")]
ENDED = ("live", "failed", "superseded")
Deployment = Annotated[str | None, typer.Argument(metavar="[DEPLOYMENT]", help="Its id; default: the newest.")]


@nouns.command("list")
@mesh_command
def list_deployments(
    mesh: Mesh, app: App, limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20
) -> None:
    """The newest deployments."""
    mesh.print_table(
        mesh.client.get(_deployment_path(app), limit=limit)["items"],
        id=field("id"),
        status=status_text,
        commit=lambda deployment: short_commit(deployment.get("commit")),
        tag=field("tag"),
        trigger=field("trigger"),
        caused_by=field("caused_by"),
        author=field("author"),
        created=lambda deployment: times.format_age(deployment.get("created_at")),
        message=lambda deployment: first_line(deployment.get("message")),
    )


@nouns.command("show")
@mesh_command
def show_deployment(mesh: Mesh, app: App, deployment: Deployment = None) -> None:
    """Who caused a deployment, its steps, errors and warnings, and what it changes of the one before."""
    details = mesh.client.get(_deployment_path(app, deployment or _newest_id(mesh, app)))
    mesh.print_sentence(details, "\n".join([*deployment_lines(details), *_change_section(details.get("changes"))]))


def _change_section(changes: Mapping[str, Any] | None) -> Iterator[str]:
    if changes is None:
        return
    since = f"since deployment {changes['since']}" if changes.get("since") else "of the first deployment"
    lines = list(change_lines(changes))
    yield f"changes of manifests {since}{':' if lines else ': none'}"
    yield from lines


@nouns.command("rollback")
@mesh_command
def roll_back(
    mesh: Mesh,
    app: App,
    deployment: Annotated[str | None, typer.Argument(metavar="[DEPLOYMENT]", help="Default: the one before.")] = None,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Deploy an older commit again."""
    body = {"deployment": deployment} if deployment else {}
    within = times.parse_duration(timeout) if wait else None
    follow_deployment(mesh, app, mesh.client.post(f"/api/v1/apps{url_path(app)}/rollback", body), within)


@nouns.command("logs")
@mesh_command_without_json
def show_logs(
    mesh: Mesh,
    app: App,
    deployment: Deployment = None,
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="NAME", help="Component, or pipeline.stage; default: the first."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written.")] = False,
) -> None:
    """What the build of an image wrote."""
    path = (deployment or _newest_id(mesh, app), "builds")
    name = image or _first_build(mesh, app, *path)
    with mesh.client.open_response(
        "GET", _deployment_path(app, *path, name, "log"), params={"follow": 1 if follow else None}
    ) as response:
        print_logs(response)


def _first_build(mesh: Mesh, app: str, deployment: str, noun: str) -> str:
    builds = mesh.client.get(_deployment_path(app, deployment, noun))["items"]
    if not builds:
        raise Failure(
            f"deployment {deployment} has built no image; see its steps: mlmesh deployment show {app} {deployment}"
        )
    return str(builds[0]["image"])


def follow_deployment(mesh: Mesh, app: str, started: dict[str, Any], within: float | None) -> None:
    """Print a new deployment, or watch it for `within` seconds. Raises Failure if it fails or does not end."""
    newest = started if within is None else _poll_until_done(mesh, app, started, time.monotonic() + within)
    mesh.print_sentence(newest, "\n".join(deployment_lines(newest)))
    see = f"see: mlmesh deployment show {app} {newest['id']}"
    if newest["status"] == "failed":
        raise Failure(f"deployment {newest['id']} failed; {see}")
    if within is not None and newest["status"] not in ENDED:
        if action := _required_action(newest):
            raise Failure(f"deployment {newest['id']} waits: {action}; then it goes on by itself")
        waited = times.format_duration(within)
        raise Failure(f"deployment {newest['id']} is still {newest['status']} after {waited}, and goes on; {see}")


def _poll_until_done(mesh: Mesh, app: str, deployment: dict[str, Any], deadline: float) -> dict[str, Any]:
    """Poll until the deployment ends, needs an action of the user, or the deadline passes."""
    with render.live_lines() as draw:
        while True:
            draw(list(progress_lines(deployment)))
            if deployment["status"] in ENDED or _required_action(deployment) or time.monotonic() >= deadline:
                return deployment
            time.sleep(POLL_INTERVAL_S)
            deployment = mesh.client.get(_deployment_path(app, deployment["id"]))


def _required_action(deployment: dict[str, Any]) -> str:
    """What the user must do before the deployment can continue; empty if nothing."""
    waiting = (step for step in deployment.get("steps", []) if step["status"] == "waiting")
    return next((str(step.get("detail") or "") for step in waiting if step["name"] in ("secrets", "fetch")), "")


def _newest_id(mesh: Mesh, app: str) -> str:
    deployments = mesh.client.get(_deployment_path(app), limit=1)["items"]
    if not deployments:
        raise Failure(f"{app} has no deployment yet; push to its repository, or type: mlmesh app sync {app}")
    return str(deployments[0]["id"])


def _deployment_path(app: str, *segments: str) -> str:
    return "/api/v1/apps" + url_path(app, "deployments", *segments)
