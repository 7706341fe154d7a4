"""`mlmesh worker` and `mlmesh queue`: workers, and the queues of the broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from services.cli import service_process, times
from services.cli.client import url_path
from services.cli.session import Mesh, field, mesh_command

Worker = Annotated[str, typer.Argument(metavar="WORKER", help="Its name, as in: mlmesh worker list.")]
workers = typer.Typer(help="Run the service worker, from MLMESH_* in the environment; or show hosts and drain them.")
queues = typer.Typer(help="What waits for workers.", no_args_is_help=True)


@workers.callback(invoke_without_command=True)
def run_worker(context: typer.Context) -> None:
    """Without a command: the service itself."""
    if context.invoked_subcommand is None:
        service_process.service_command("worker")(context)


@workers.command("list")
@mesh_command
def list_workers(mesh: Mesh) -> None:
    """All workers."""
    mesh.print_table(
        list(mesh.client.iterate_pages("/api/v1/workers")),
        name=field("name"),
        host=field("host"),
        status=_status_text,
        classes=lambda worker: ", ".join(worker.get("classes") or []),
        free=lambda worker: f"{worker.get('free')}/{worker.get('slots')}",
        tasks=lambda worker: len(worker.get("tasks") or []),
    )


def _status_text(worker: Mapping[str, Any]) -> str:
    if not worker.get("alive"):
        return "lost"
    return "draining" if worker.get("draining") else "ready"


@workers.command("drain")
@mesh_command
def drain_worker(mesh: Mesh, worker: Worker) -> None:
    """Give a worker nothing new; what runs there ends in its own time, components move to other workers."""
    response = mesh.client.post(_drain_path(worker))
    mesh.print_sentence(response, f"{worker} is draining; it takes work again after: mlmesh worker undrain {worker}")


@workers.command("undrain")
@mesh_command
def undrain_worker(mesh: Mesh, worker: Worker) -> None:
    """Let a drained worker take work again; what moved to other workers stays there."""
    response = mesh.client.post(_drain_path(worker), off="true")
    mesh.print_sentence(response, f"{worker} takes work again")


def _drain_path(worker: str) -> str:
    return f"/api/v1/workers{url_path(worker)}/drain"


@queues.command("list")
@mesh_command
def list_queues(mesh: Mesh) -> None:
    """Depth, oldest entry and dead letters of each queue."""
    mesh.print_table(
        list(mesh.client.iterate_pages("/api/v1/queues")),
        name=field("name"),
        depth=field("depth"),
        oldest=lambda queue: times.format_age(queue.get("oldest")),
        dead=field("dead"),
    )


@queues.command("redrive")
@mesh_command
def redrive_queue(mesh: Mesh, queue: Annotated[str, typer.Argument(metavar="QUEUE")]) -> None:
    """Give what was refused another chance."""
    response = mesh.client.post(f"/api/v1/queues{url_path(queue)}/redrive")
    mesh.print_sentence(response, f"{queue}: what was refused is queued again")
