"""`mlmesh component`: functions behind HTTP."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from services.cli import render, times
from services.cli.client import path
from services.cli.logs import printed
from services.cli.session import App, Mesh, field, talks, talks_without_data

nouns = typer.Typer(help="Functions behind HTTP.", no_args_is_help=True)
Component = Annotated[str, typer.Argument(metavar="COMPONENT")]


@nouns.command("list")
@talks
def listed(mesh: Mesh, app: App) -> None:
    """All components of an app."""
    mesh.table(
        mesh.client.get(_path(app))["items"],
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
    )
    return "  ".join(str(part) for part in parts if part)


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
