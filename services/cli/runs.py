"""`mlmesh run`: long computations."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from services.cli import local_run, render, times
from services.cli.arguments import assignments
from services.cli.cli_errors import Failure
from services.cli.logs import printed
from services.cli.run_inputs import started
from services.cli.run_view import lines
from services.cli.runs_client import Runs
from services.cli.session import App, Mesh, field, talks, talks_without_data

nouns = typer.Typer(help="Long computations.", no_args_is_help=True)
HELD_S = 20
"""How long the mesh may hold one question about a run."""
ENDED = ("succeeded", "failed", "canceled", "expired")
RunId = Annotated[str, typer.Argument(metavar="RUN")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written.")]
Stage = Annotated[str | None, typer.Option("--stage", help="Of this stage alone.")]


@nouns.command("start")
@talks
def start(
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
    more = {"priority": priority, "labels": dict(assignments(labels or [])), "cache": cache}
    body = {"outputs": dict(assignments(outputs or [])), **{name: value for name, value in more.items() if value}}
    run = started(mesh.client, app, api, dict(assignments(inputs or [])), body)
    _finish(mesh, app, _watched(Runs(mesh.client, app), run) if wait else run, whole=wait)


nouns.command("local")(local_run.local)


@nouns.command("list")
@talks
def listed(
    mesh: Mesh,
    app: App,
    pipeline: Annotated[str | None, typer.Option("--pipeline", help="Of this one alone.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="In this state alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
) -> None:
    """The newest runs."""
    mesh.table(
        mesh.listed(app, Runs(mesh.client, app).get(pipeline=pipeline, status=status, limit=limit)["items"]),
        id=field("id"),
        pipeline=field("pipeline"),
        status=field("status"),
        created=lambda run: times.age(run.get("created_at")),
        took=lambda run: times.between(run.get("started_at"), run.get("finished_at")),
        reason=field("reason"),
    )


@nouns.command("show")
@talks
def show(mesh: Mesh, app: App, run: RunId) -> None:
    """State, stages, inputs and outputs of one run."""
    found = Runs(mesh.client, app).get(run)
    mesh.say(found, "\n".join(lines(found)))


@nouns.command("watch")
@talks
def watch(mesh: Mesh, app: App, run: RunId) -> None:
    """Follow a run to its end, with its progress; exit code 1 when it does not succeed."""
    runs = Runs(mesh.client, app)
    _finish(mesh, app, _watched(runs, runs.get(run)))


@nouns.command("logs")
@talks_without_data
def logs(mesh: Mesh, app: App, run: RunId, stage: Stage = None, follow: Follow = False) -> None:
    """What the stages wrote."""
    params = {"stage": stage, "follow": 1 if follow else None}
    with Runs(mesh.client, app).open("GET", run, "logs", params=params) as answer:
        printed(answer)


@nouns.command("cancel")
@talks
def cancel(mesh: Mesh, app: App, run: RunId) -> None:
    """End a run early."""
    found = Runs(mesh.client, app).post(run, "cancel")
    mesh.say(found, f"run {run} is {found['status']}")


@nouns.command("retry")
@talks
def retry(
    mesh: Mesh,
    app: App,
    run: RunId,
    stage: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="Keep what came before it.")] = None,
) -> None:
    """Run it again: all of it, or from a stage on."""
    found = Runs(mesh.client, app).post(run, "retry", **{"from": stage})
    mesh.say(found, f"run {run} is {found['status']}, attempt {found['attempt']}")


@nouns.command("delete")
@talks
def delete(
    mesh: Mesh,
    app: App,
    run: RunId,
    files: Annotated[bool, typer.Option("--files", help="What it has published, too.")] = False,
) -> None:
    """Remove a run that has ended, and its logs."""
    Runs(mesh.client, app).delete(run, files=files)
    mesh.say({"id": run}, f"run {run} is gone")


@nouns.command("outputs")
@talks
def outputs(
    mesh: Mesh,
    app: App,
    run: RunId,
    variable: Annotated[str | None, typer.Argument(metavar="[VAR]", help="Default: all.")] = None,
) -> None:
    """Files that a run left."""
    runs = Runs(mesh.client, app)
    names = [variable] if variable else list(runs.get(run)["outputs"])
    found = [{"variable": name, **file} for name in names for file in runs.pages(run, "outputs", name)]
    mesh.table(
        found,
        variable=field("variable"),
        name=field("name"),
        size=lambda file: render.size(file.get("size")),
        modified=lambda file: times.age(file.get("modified")),
    )


def _watched(runs: Runs, run: dict[str, Any]) -> dict[str, Any]:
    """The run at its end. Ctrl-C leaves the run alone, shows how far it is and says how to go on."""
    bars = render.is_terminal(sys.stderr)
    try:
        with render.live() as draw:
            while run["status"] not in ENDED:
                draw(list(lines(run, whole=False, bars=bars)))
                run = _next(runs, run)
        return run
    except KeyboardInterrupt:
        render.write("\n".join(lines(run)))
        again = f"mlmesh run watch {runs.app} {run['id']}"
        render.note(f"the run goes on; watch it again: {again}; end it: {again.replace('watch', 'cancel')}")
        raise


def _next(runs: Runs, run: dict[str, Any]) -> dict[str, Any]:
    """The run as soon as it differs; the tag of what is known comes from the mesh itself."""
    known = run.get("_etag")
    headers = {"Prefer": f"wait={HELD_S}", "If-None-Match": known} if known else {}
    with runs.open("GET", run["id"], headers=headers) as answer:
        if answer.status == 304:
            return run
        found: dict[str, Any] = answer.json()
        return found | {"_etag": answer.headers.get("ETag")}


def _finish(mesh: Mesh, app: str, run: dict[str, Any], *, whole: bool = True) -> None:
    run = {key: value for key, value in run.items() if key != "_etag"}
    mesh.say(run, "\n".join(lines(run, whole=whole)))
    if run["status"] in ENDED[1:]:
        raise Failure(f"run {run['id']} {run['status']}; see: mlmesh run logs {app} {run['id']}")
