"""`mlmesh component`: functions behind HTTP."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from services.cli import render, times
from services.cli.cli_errors import Failure
from services.cli.client import path
from services.cli.deployments import DEFAULT_TIMEOUT, POLL_INTERVAL_S, Timeout
from services.cli.logs import printed
from services.cli.session import App, Mesh, field, talks, talks_without_data

nouns = typer.Typer(help="Functions behind HTTP.", no_args_is_help=True)
Component = Annotated[str, typer.Argument(metavar="COMPONENT")]


@nouns.command("list")
@talks
def listed(mesh: Mesh, app: App) -> None:
    """All components of an app."""
    mesh.table(
        mesh.listed(app, mesh.client.get(_path(app))["items"]),
        name=field("name"),
        status=field("status"),
        instances=lambda one: len(one.get("instances") or []),
        reason=field("reason"),
    )


@nouns.command("show")
@talks
def show(mesh: Mesh, app: App, component: Component) -> None:
    """State, instances and last error of one component."""
    found = mesh.client.get(_path(app, component))
    mesh.show(found, _pairs(found))


def _pairs(found: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("component", found["name"]),
        ("status", found["status"]),
        ("reason", found.get("reason")),
        *(("instance", _instance(one)) for one in found.get("instances") or []),
        ("error", found.get("error")),
        *(("log", line) for line in found.get("log_tail") or []),
    ]


def _instance(one: dict[str, Any]) -> str:
    parts = (
        one["id"],
        one["status"],
        one.get("worker"),
        times.age(one.get("started_at")),
        render.reason(one.get("reason")),
        one.get("detail"),
    )
    return "  ".join(str(part) for part in parts if part)


@nouns.command("restart")
@talks
def restart(
    mesh: Mesh,
    app: App,
    component: Component,
    wait: Annotated[bool, typer.Option("--wait", help="Until the new instances serve.")] = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Start a component anew, with the model as it is now; the old instances serve until the new ones do."""
    within = times.duration(timeout) if wait else 0.0
    before = {one["id"] for one in mesh.client.get(_path(app, component)).get("instances") or []}
    found = mesh.client.post(_path(app, component, "restart"))
    deadline = time.monotonic() + within
    while wait and not _is_renewed(found, before):
        if time.monotonic() >= deadline:
            why = render.reason(found.get("reason")) or found["status"]
            raise Failure(f"{component} is not renewed after {times.length(within)} ({why}); what served serves on")
        time.sleep(POLL_INTERVAL_S)
        found = mesh.client.get(_path(app, component))
    mesh.say(found, f"{component} is restarted" if wait else f"{component} is being restarted")


def _is_renewed(found: dict[str, Any], before: set[str]) -> bool:
    """Nothing of before is left, and what there is serves."""
    now = found.get("instances") or []
    return not before & {one["id"] for one in now} and all(one["status"] == "healthy" for one in now)


@nouns.command("logs")
@talks_without_data
def logs(
    mesh: Mesh,
    app: App,
    component: Component,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written.")] = False,
) -> None:
    """What a component wrote."""
    with mesh.client.open("GET", _path(app, component, "logs"), params={"follow": 1 if follow else None}) as answer:
        printed(answer)


def _path(app: str, *rest: str) -> str:
    return "/api/v1/apps" + path(app, "components", *rest)
