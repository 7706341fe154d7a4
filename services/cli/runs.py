"""`mlmesh run`: long computations."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from services.cli import local_run, render, times
from services.cli.arguments import parse_assignments
from services.cli.cli_errors import Failure
from services.cli.logs import print_logs
from services.cli.run_inputs import submit_run
from services.cli.run_view import run_lines
from services.cli.runs_client import RunsClient
from services.cli.session import App, Mesh, field, mesh_command, mesh_command_without_json

nouns = typer.Typer(help="Long computations.", no_args_is_help=True)
LONG_POLL_S = 20
"""How long the mesh may hold a long poll."""
ENDED = ("succeeded", "failed", "canceled", "expired")
RunId = Annotated[str, typer.Argument(metavar="RUN")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written.")]
Stage = Annotated[str | None, typer.Option("--stage", help="Of this stage alone.")]


@nouns.command("start")
@mesh_command
def start_run(
    mesh: Mesh,
    app: App,
    api: Annotated[str, typer.Argument(metavar="PATH", help="The API's path.")],
    inputs: Annotated[list[str] | None, typer.Option("--input", metavar="VAR=VALUE", help="@FILE reads JSON.")] = None,
    outputs: Annotated[list[str] | None, typer.Option("--output", metavar="VAR=FOLDER", help="BOX/GROUP/.")] = None,
    priority: Annotated[int, typer.Option("--priority", min=-10, max=10, help="Higher begins first.")] = 0,
    labels: Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Repeatable.")] = None,
    cache: Annotated[str | None, typer.Option("--cache", metavar="off|read|refresh", help="Of stages.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended.")] = False,
) -> None:
    """Start a run of the pipeline behind an API."""
    options = {"priority": priority, "labels": dict(parse_assignments(labels or [])), "cache": cache}
    body = {
        "outputs": dict(parse_assignments(outputs or [])),
        **{name: value for name, value in options.items() if value},
    }
    run = submit_run(mesh.client, app, api, dict(parse_assignments(inputs or [])), body)
    _print_result(mesh, app, _watch_until_ended(RunsClient(mesh.client, app), run) if wait else run, full=wait)


nouns.command("local")(local_run.run_local)


@nouns.command("list")
@mesh_command
def list_runs(
    mesh: Mesh,
    app: App,
    pipeline: Annotated[str | None, typer.Option("--pipeline", help="Of this one alone.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="In this state alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
) -> None:
    """The newest runs."""
    mesh.print_table(
        mesh.require_app(app, RunsClient(mesh.client, app).get(pipeline=pipeline, status=status, limit=limit)["items"]),
        id=field("id"),
        pipeline=field("pipeline"),
        status=field("status"),
        created=lambda run: times.format_age(run.get("created_at")),
        took=lambda run: times.format_interval(run.get("started_at"), run.get("finished_at")),
        reason=field("reason"),
    )


@nouns.command("show")
@mesh_command
def show_run(mesh: Mesh, app: App, run: RunId) -> None:
    """State, stages, inputs and outputs of one run."""
    details = RunsClient(mesh.client, app).get(run)
    mesh.print_sentence(details, "\n".join(run_lines(details)))


@nouns.command("watch")
@mesh_command
def watch_run(mesh: Mesh, app: App, run: RunId) -> None:
    """Follow a run to its end, with its progress; exit code 1 when it does not succeed."""
    runs = RunsClient(mesh.client, app)
    _print_result(mesh, app, _watch_until_ended(runs, runs.get(run)))


@nouns.command("logs")
@mesh_command_without_json
def show_logs(mesh: Mesh, app: App, run: RunId, stage: Stage = None, follow: Follow = False) -> None:
    """What the stages wrote."""
    params = {"stage": stage, "follow": 1 if follow else None}
    with RunsClient(mesh.client, app).open_response("GET", run, "logs", params=params) as response:
        print_logs(response)


@nouns.command("cancel")
@mesh_command
def cancel_run(mesh: Mesh, app: App, run: RunId) -> None:
    """End a run early."""
    canceled = RunsClient(mesh.client, app).post(run, "cancel")
    mesh.print_sentence(canceled, f"run {run} is {canceled['status']}")


@nouns.command("retry")
@mesh_command
def retry_run(
    mesh: Mesh,
    app: App,
    run: RunId,
    stage: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="Keep what came before it.")] = None,
) -> None:
    """Run it again: all of it, or from a stage on."""
    retried = RunsClient(mesh.client, app).post(run, "retry", **{"from": stage})
    mesh.print_sentence(retried, f"run {run} is {retried['status']}, attempt {retried['attempt']}")


@nouns.command("delete")
@mesh_command
def delete_run(
    mesh: Mesh,
    app: App,
    run: RunId,
    files: Annotated[bool, typer.Option("--files", help="What it has published, too.")] = False,
) -> None:
    """Remove a run that has ended, and its logs."""
    RunsClient(mesh.client, app).delete(run, files=files)
    mesh.print_sentence({"id": run}, f"run {run} is gone")


@nouns.command("outputs")
@mesh_command
def list_outputs(
    mesh: Mesh,
    app: App,
    run: RunId,
    variable: Annotated[str | None, typer.Argument(metavar="[VAR]", help="Default: all.")] = None,
) -> None:
    """Files that a run left."""
    runs = RunsClient(mesh.client, app)
    names = [variable] if variable else list(runs.get(run)["outputs"])
    files = [{"variable": name, **file} for name in names for file in runs.iterate_pages(run, "outputs", name)]
    mesh.print_table(
        files,
        variable=field("variable"),
        name=field("name"),
        size=lambda file: render.size_text(file.get("size")),
        modified=lambda file: times.format_age(file.get("modified")),
    )


def _watch_until_ended(runs: RunsClient, run: dict[str, Any]) -> dict[str, Any]:
    """Watch a run until it ends. Ctrl-C does not cancel the run; it prints its state and the commands to continue."""
    bars, etag = render.is_terminal(sys.stderr), None
    try:
        with render.live_lines() as draw:
            while run["status"] not in ENDED:
                draw(list(run_lines(run, full=False, bars=bars)))
                run, etag = _wait_for_change(runs, run, etag)
        return run
    except KeyboardInterrupt:
        render.write_lines("\n".join(run_lines(run)))
        watch_command = f"mlmesh run watch {runs.app} {run['id']}"
        render.write_note(
            f"the run goes on; watch it again: {watch_command}; end it: {watch_command.replace('watch', 'cancel')}"
        )
        raise


def _wait_for_change(runs: RunsClient, run: dict[str, Any], etag: str | None) -> tuple[dict[str, Any], str | None]:
    """The run and its ETag, when it has changed or at the end of the long poll; at once without an ETag."""
    headers = {"Prefer": f"wait={LONG_POLL_S}", "If-None-Match": etag} if etag else {}
    with runs.open_response("GET", run["id"], headers=headers) as response:
        if response.status == 304:
            return run, etag
        return response.json(), response.headers.get("ETag")


def _print_result(mesh: Mesh, app: str, run: dict[str, Any], *, full: bool = True) -> None:
    mesh.print_sentence(run, "\n".join(run_lines(run, full=full)))
    if run["status"] in ENDED[1:]:
        raise Failure(f"run {run['id']} {run['status']}; see: mlmesh run logs {app} {run['id']}")
