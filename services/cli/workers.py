"""`mlmesh worker` and `mlmesh queue`: hosts, and what waits for them."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli import service_process, times
from services.cli.client import path
from services.cli.session import Mesh, field, talks

workers = typer.Typer(help="Run the service worker, from MLMESH_* in the environment; or show hosts and drain them.")
queues = typer.Typer(help="What waits for workers.", no_args_is_help=True)


@workers.callback(invoke_without_command=True)
def worker(context: typer.Context) -> None:
    """Without a command: the service itself."""
    if context.invoked_subcommand is None:
        service_process.service("worker")(context)


@workers.command("list")
@talks
def listed(mesh: Mesh) -> None:
    """All workers."""
    mesh.table(
        list(mesh.client.pages("/api/v1/workers")),
        name=field("name"),
        host=field("host"),
        status=field("status"),
        classes=lambda one: ", ".join(one.get("classes") or []),
        free=lambda one: f"{one.get('free')}/{one.get('slots')}",
        tasks=lambda one: len(one.get("tasks") or []),
    )


@workers.command("drain")
@talks
def drain(mesh: Mesh, worker: Annotated[str, typer.Argument(metavar="WORKER")]) -> None:
    """Give a worker nothing new; what runs there ends in its own time, components move to other workers."""
    found = mesh.client.post(f"/api/v1/workers{path(worker)}/drain")
    mesh.say(found, f"{worker} is draining")


@queues.command("list")
@talks
def listed_queues(mesh: Mesh) -> None:
    """Depth, oldest entry and dead letters of each queue."""
    mesh.table(
        list(mesh.client.pages("/api/v1/queues")),
        name=field("name"),
        depth=field("depth"),
        oldest=lambda one: times.age(one.get("oldest")),
        dead=field("dead"),
    )


@queues.command("redrive")
@talks
def redrive(mesh: Mesh, queue: Annotated[str, typer.Argument(metavar="QUEUE")]) -> None:
    """Give what was refused another chance."""
    found = mesh.client.post(f"/api/v1/queues{path(queue)}/redrive")
    mesh.say(found, f"{queue}: what was refused is queued again")
