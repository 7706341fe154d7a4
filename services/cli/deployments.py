"""`mlmesh deployment`: what was pushed, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from services.cli import render
from services.cli.client import path
from services.cli.failure import Failure, place
from services.cli.session import App, Mesh, field, talks

nouns = typer.Typer(help="What was pushed, and what became of it.", no_args_is_help=True)
POLL_INTERVAL_S = 0.3
ENDED = ("live", "failed", "superseded")
Deployment = Annotated[str | None, typer.Argument(metavar="[DEPLOYMENT]", help="Its id; default: the newest.")]


def short(commit: str | None) -> str | None:
    return commit and commit[:10]


@nouns.command("list")
@talks
def listed(
    mesh: Mesh, app: App, limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20
) -> None:
    """The newest deployments."""
    mesh.table(
        mesh.client.get(_path(app), limit=limit)["items"],
        id=field("id"),
        status=field("status"),
        commit=lambda one: short(one.get("commit")),
        trigger=field("trigger"),
        author=field("author"),
        created=field("created_at"),
        message=lambda one: (one.get("message") or "").partition("\n")[0],
    )


@nouns.command("show")
@talks
def show(mesh: Mesh, app: App, deployment: Deployment = None) -> None:
    """Steps, errors and warnings of one deployment."""
    found = mesh.client.get(_path(app, deployment or _newest(mesh, app)))
    if mesh.as_json:
        render.document(found)
    else:
        render.write("\n".join(lines(found)))


@nouns.command("rollback")
@talks
def rollback(
    mesh: Mesh,
    app: App,
    deployment: Annotated[str | None, typer.Argument(metavar="[DEPLOYMENT]", help="Default: the one before.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is live or failed.")] = False,
) -> None:
    """Deploy an older commit again."""
    body = {"deployment": deployment} if deployment else {}
    follow(mesh, app, mesh.client.post(f"/api/v1/apps{path(app)}/rollback", body), wait)


def follow(mesh: Mesh, app: str, started: dict[str, Any], wait: bool) -> None:
    """Show a deployment that was just asked for; with `wait`, watch it to its end. Fails when it fails."""
    found = _watched(mesh, app, started) if wait else started
    mesh.say(found, "\n".join(lines(found)))
    if found["status"] == "failed":
        raise Failure(f"deployment {found['id']} failed; see: mlmesh deployment show {app} {found['id']}")


def _watched(mesh: Mesh, app: str, found: dict[str, Any]) -> dict[str, Any]:
    with render.live() as draw:
        while found["status"] not in ENDED:
            draw(lines(found))
            time.sleep(POLL_INTERVAL_S)
            found = mesh.client.get(_path(app, found["id"]))
    return found


def lines(found: dict[str, Any]) -> Iterator[str]:
    what = " ".join(part for part in (short(found.get("commit")), found.get("author")) if part)
    yield f"deployment {found['id']}  {found['status']}" + (f"  {what}" if what else "")
    for step in found.get("steps", []):
        yield f"  {step['name']:<12} {step['status']:<10} {step.get('detail') or ''}".rstrip()
    for kind in ("errors", "warnings"):
        for one in found.get(kind, []):
            yield f"  {kind[:-1]}: {place(one)}"
            yield from (f"    | {line}" for line in one.get("log_tail") or ())


def _newest(mesh: Mesh, app: str) -> str:
    found = mesh.client.get(_path(app), limit=1)["items"]
    if not found:
        raise Failure(f"{app} has no deployment yet; push to its repository, or type: mlmesh app sync {app}")
    return str(found[0]["id"])


def _path(app: str, *rest: str) -> str:
    return "/api/v1/apps" + path(app, "deployments", *rest)
