"""`mlmesh deployment`: what was pushed, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from services.cli import render, times
from services.cli.cli_errors import Failure, place
from services.cli.client import path
from services.cli.session import App, Mesh, field, talks

nouns = typer.Typer(help="What was pushed, and what became of it.", no_args_is_help=True)
POLL_INTERVAL_S = 0.3
DEFAULT_TIMEOUT = "30m"
Wait = Annotated[bool, typer.Option("--wait", help="Until it is live or failed.")]
Timeout = Annotated[str, typer.Option("--timeout", metavar="TIME", help="How long to wait: 90s, 10m, 2h.")]
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
        created=lambda one: times.age(one.get("created_at")),
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
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Deploy an older commit again."""
    body = {"deployment": deployment} if deployment else {}
    within = times.duration(timeout) if wait else None
    follow(mesh, app, mesh.client.post(f"/api/v1/apps{path(app)}/rollback", body), within)


def follow(mesh: Mesh, app: str, started: dict[str, Any], within: float | None) -> None:
    """Show a deployment that was just asked for, or watch it for so many seconds. Fails unless it is well."""
    found = started if within is None else _watched(mesh, app, started, time.monotonic() + within)
    mesh.say(found, "\n".join(lines(found)))
    see = f"see: mlmesh deployment show {app} {found['id']}"
    if found["status"] == "failed":
        raise Failure(f"deployment {found['id']} failed; {see}")
    if within is not None and found["status"] not in ENDED:
        why = _needed(found)
        raise Failure(
            f"deployment {found['id']} waits: {why}; then it goes on by itself"
            if why
            else f"deployment {found['id']} is still {found['status']} after {times.length(within)}, and goes on; {see}"
        )


def _watched(mesh: Mesh, app: str, found: dict[str, Any], deadline: float) -> dict[str, Any]:
    """Until it has ended, needs something of a person, or the time is over."""
    with render.live() as draw:
        while True:
            draw(list(lines(found)))
            if found["status"] in ENDED or _needed(found) or time.monotonic() >= deadline:
                return found
            time.sleep(POLL_INTERVAL_S)
            found = mesh.client.get(_path(app, found["id"]))


def _needed(found: dict[str, Any]) -> str:
    """What a person must do before it can go on."""
    waiting = (step for step in found.get("steps", []) if step["status"] == "waiting")
    return next((str(step.get("detail") or "") for step in waiting if step["name"] in ("secrets", "fetch")), "")


def lines(found: dict[str, Any]) -> Iterator[str]:
    message = str(found.get("message") or "").partition("\n")[0]
    what = "  ".join(part for part in (short(found.get("commit")), found.get("author"), message) if part)
    yield f"deployment {found['id']}  {found['status']}" + (f"  {what}" if what else "")
    for step in found.get("steps", []):
        yield f"  {step['name']:<12} {step['status']:<10} {_inset(step.get('detail') or '')}".rstrip()
    for kind in ("errors", "warnings"):
        for one in found.get(kind, []):
            yield f"  {kind[:-1]}: {_inset(place(one))}"
            yield from (f"    | {line}" for line in one.get("log_tail") or ())


def _inset(text: str) -> str:
    """Further lines stand below the first."""
    return "\n    | ".join(text.splitlines())


def _newest(mesh: Mesh, app: str) -> str:
    found = mesh.client.get(_path(app), limit=1)["items"]
    if not found:
        raise Failure(f"{app} has no deployment yet; push to its repository, or type: mlmesh app sync {app}")
    return str(found[0]["id"])


def _path(app: str, *rest: str) -> str:
    return "/api/v1/apps" + path(app, "deployments", *rest)
