"""`mlmesh schedule`: pipelines that start by themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli import times
from services.cli.client import path
from services.cli.session import Mesh, field, talks

nouns = typer.Typer(help="Pipelines that start by themselves.", no_args_is_help=True)
App = Annotated[str, typer.Argument(metavar="APP")]
Pipeline = Annotated[str, typer.Argument(metavar="PIPELINE")]


@nouns.command("list")
@talks
def listed(mesh: Mesh, app: App) -> None:
    """When each starts next, and what came of the last start."""
    mesh.table(
        mesh.listed(app, mesh.client.pages(f"/api/v1/apps{path(app)}/schedules")),
        pipeline=field("pipeline"),
        cron=field("cron"),
        timezone=field("timezone"),
        next=lambda one: "paused" if one.get("paused") else times.age(one.get("next_at")),
        last=field("last_run"),
        problem=field("problem"),
    )


@nouns.command("pause")
@talks
def pause(mesh: Mesh, app: App, pipeline: Pipeline) -> None:
    """Start it no more until it is resumed."""
    mesh.say(mesh.client.post(f"/api/v1/apps{path(app)}/schedules{path(pipeline)}/pause"), f"{pipeline} is paused")


@nouns.command("resume")
@talks
def resume(mesh: Mesh, app: App, pipeline: Pipeline) -> None:
    """Let it start again, at its next time."""
    found = mesh.client.post(f"/api/v1/apps{path(app)}/schedules{path(pipeline)}/resume")
    next_at = found.get("next_at")
    mesh.say(found, f"{pipeline} starts next at {times.moment(next_at)} ({times.age(next_at)})")
