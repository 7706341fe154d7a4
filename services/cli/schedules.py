"""`mlmesh schedule`: pipelines that start by themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli import times
from services.cli.client import url_path
from services.cli.session import Mesh, field, mesh_command

nouns = typer.Typer(help="Pipelines that start by themselves.", no_args_is_help=True)
App = Annotated[str, typer.Argument(metavar="APP")]
Pipeline = Annotated[str, typer.Argument(metavar="PIPELINE")]


@nouns.command("list")
@mesh_command
def list_schedules(mesh: Mesh, app: App) -> None:
    """When each starts next, and what came of the last start."""
    mesh.print_table(
        mesh.require_app(app, mesh.client.iterate_pages(f"/api/v1/apps{url_path(app)}/schedules")),
        pipeline=field("pipeline"),
        cron=field("cron"),
        timezone=field("timezone"),
        next=lambda schedule: "paused" if schedule.get("paused") else times.format_age(schedule.get("next_at")),
        last=field("last_run"),
        problem=field("problem"),
    )


@nouns.command("pause")
@mesh_command
def pause_schedule(mesh: Mesh, app: App, pipeline: Pipeline) -> None:
    """Start it no more until it is resumed."""
    mesh.print_sentence(
        mesh.client.post(f"/api/v1/apps{url_path(app)}/schedules{url_path(pipeline)}/pause"), f"{pipeline} is paused"
    )


@nouns.command("resume")
@mesh_command
def resume_schedule(mesh: Mesh, app: App, pipeline: Pipeline) -> None:
    """Let it start again, at its next time."""
    schedule = mesh.client.post(f"/api/v1/apps{url_path(app)}/schedules{url_path(pipeline)}/resume")
    next_at = schedule.get("next_at")
    mesh.print_sentence(
        schedule, f"{pipeline} starts next at {times.format_time(next_at)} ({times.format_age(next_at)})"
    )
