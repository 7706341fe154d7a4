"""`mlmesh deployment`: deployments of pushed commits, and their progress."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from services.cli import render, times
from services.cli.cli_errors import Failure, format_problem
from services.cli.client import url_path
from services.cli.session import App, Mesh, field, mesh_command

nouns = typer.Typer(help="What was pushed, and what became of it.", no_args_is_help=True)
POLL_INTERVAL_S = 0.3
DEFAULT_TIMEOUT = "30m"
Wait = Annotated[bool, typer.Option("--wait", help="Until it is live or failed.")]
Timeout = Annotated[str, typer.Option("--timeout", metavar="TIME", help="How long to wait: 90s, 10m, 2h.")]
ENDED = ("live", "failed", "superseded")
Deployment = Annotated[str | None, typer.Argument(metavar="[DEPLOYMENT]", help="Its id; default: the newest.")]


def short_commit(commit: str | None) -> str | None:
    return commit and commit[:10]


@nouns.command("list")
@mesh_command
def list_deployments(
    mesh: Mesh, app: App, limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20
) -> None:
    """The newest deployments."""
    mesh.print_table(
        mesh.client.get(_deployment_path(app), limit=limit)["items"],
        id=field("id"),
        status=field("status"),
        commit=lambda deployment: short_commit(deployment.get("commit")),
        trigger=field("trigger"),
        author=field("author"),
        created=lambda deployment: times.format_age(deployment.get("created_at")),
        message=lambda deployment: (deployment.get("message") or "").partition("\n")[0],
    )


@nouns.command("show")
@mesh_command
def show_deployment(mesh: Mesh, app: App, deployment: Deployment = None) -> None:
    """Steps, errors and warnings of one deployment."""
    details = mesh.client.get(_deployment_path(app, deployment or _newest_id(mesh, app)))
    if mesh.as_json:
        render.write_json(details)
    else:
        render.write_lines("\n".join(deployment_lines(details)))


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
            draw(list(deployment_lines(deployment)))
            if deployment["status"] in ENDED or _required_action(deployment) or time.monotonic() >= deadline:
                return deployment
            time.sleep(POLL_INTERVAL_S)
            deployment = mesh.client.get(_deployment_path(app, deployment["id"]))


def _required_action(deployment: dict[str, Any]) -> str:
    """What the user must do before the deployment can continue; empty if nothing."""
    waiting = (step for step in deployment.get("steps", []) if step["status"] == "waiting")
    return next((str(step.get("detail") or "") for step in waiting if step["name"] in ("secrets", "fetch")), "")


def deployment_lines(deployment: dict[str, Any]) -> Iterator[str]:
    message = str(deployment.get("message") or "").partition("\n")[0]
    what = "  ".join(
        part for part in (short_commit(deployment.get("commit")), deployment.get("author"), message) if part
    )
    yield f"deployment {deployment['id']}  {deployment['status']}" + (f"  {what}" if what else "")
    for step in deployment.get("steps", []):
        yield f"  {step['name']:<12} {step['status']:<10} {_indent_lines(step.get('detail') or '')}".rstrip()
    for kind in ("errors", "warnings"):
        for problem in deployment.get(kind, []):
            yield f"  {kind[:-1]}: {_indent_lines(format_problem(problem))}"
            yield from (f"    | {line}" for line in problem.get("log_tail") or ())


def _indent_lines(text: str) -> str:
    """Indent all lines after the first."""
    return "\n    | ".join(text.splitlines())


def _newest_id(mesh: Mesh, app: str) -> str:
    deployments = mesh.client.get(_deployment_path(app), limit=1)["items"]
    if not deployments:
        raise Failure(f"{app} has no deployment yet; push to its repository, or type: mlmesh app sync {app}")
    return str(deployments[0]["id"])


def _deployment_path(app: str, *segments: str) -> str:
    return "/api/v1/apps" + url_path(app, "deployments", *segments)
