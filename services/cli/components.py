"""`mlmesh component`: functions behind HTTP."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import render, times
from services.cli.cli_errors import Failure
from services.cli.client import url_path
from services.cli.deployments import DEFAULT_TIMEOUT, POLL_INTERVAL_S, Timeout
from services.cli.logs import print_logs
from services.cli.session import App, Mesh, field, mesh_command, mesh_command_without_json

if TYPE_CHECKING:
    from libs.common.component_status import ComponentJson, InstanceJson

nouns = typer.Typer(help="Functions behind HTTP.", no_args_is_help=True)
Component = Annotated[str, typer.Argument(metavar="COMPONENT")]


@nouns.command("list")
@mesh_command
def list_components(mesh: Mesh, app: App) -> None:
    """All components of an app."""
    mesh.print_table(
        mesh.require_app(app, mesh.client.get(_component_path(app))["items"]),
        name=field("name"),
        status=field("status"),
        instances=lambda component: len(component.get("instances") or []),
        reason=field("reason"),
    )


@nouns.command("show")
@mesh_command
def show_component(mesh: Mesh, app: App, component: Component) -> None:
    """State, instances and last error of one component."""
    details = mesh.client.get(_component_path(app, component))
    mesh.print_pairs(details, _component_pairs(details))


def _component_pairs(details: ComponentJson) -> list[tuple[str, Any]]:
    return [
        ("component", details["name"]),
        ("status", details["status"]),
        ("reason", details.get("reason")),
        *(("instance", _instance_text(instance)) for instance in details.get("instances") or []),
        ("error", details.get("error")),
        *(("log", line) for line in details.get("log_tail") or []),
    ]


def _instance_text(instance: InstanceJson) -> str:
    cells = (
        instance["id"],
        instance["status"],
        instance.get("worker"),
        times.format_age(instance.get("started_at")),
        render.reason_text(instance.get("reason")),
        instance.get("detail"),
        f"replaced; warm for a rollback, stops {times.format_age(stops_at)}"
        if (stops_at := instance.get("stops_at"))
        else "",
    )
    return "  ".join(str(part) for part in cells if part)


@nouns.command("restart")
@mesh_command
def restart_component(
    mesh: Mesh,
    app: App,
    component: Component,
    wait: Annotated[bool, typer.Option("--wait", help="Until the new instances serve.")] = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Start a component anew, with the model as it is now; the old instances serve until the new ones do."""
    within = times.parse_duration(timeout) if wait else 0.0
    old_ids = {instance["id"] for instance in mesh.client.get(_component_path(app, component)).get("instances") or []}
    details = mesh.client.post(_component_path(app, component, "restart"))
    deadline = time.monotonic() + within
    while wait and not _is_renewed(details, old_ids):
        if (failed := _find_failed(details, old_ids)) is not None:
            why = render.reason_text(failed["reason"])
            raise Failure(f"{component} does not start anew ({why}); what served serves on")
        if time.monotonic() >= deadline:
            why = render.reason_text(details.get("reason")) or details["status"]
            raise Failure(
                f"{component} is not renewed after {times.format_duration(within)} ({why}); what served serves on"
            )
        time.sleep(POLL_INTERVAL_S)
        details = mesh.client.get(_component_path(app, component))
    mesh.print_sentence(details, f"{component} is restarted" if wait else f"{component} is being restarted")


def _find_failed(details: ComponentJson, old_ids: set[str]) -> InstanceJson | None:
    """A new instance that ended before it served; one whose worker was lost starts elsewhere."""
    return next(
        (
            instance
            for instance in details.get("instances") or []
            if instance["id"] not in old_ids
            and instance["status"] == "waiting"
            and instance["attempt"] > 0
            and instance["reason"] is not None
            and instance["reason"]["code"] != "lost"
        ),
        None,
    )


def _is_renewed(details: ComponentJson, old_ids: set[str]) -> bool:
    """Whether no old instance is left and all instances are healthy."""
    instances = details.get("instances") or []
    return not old_ids & {instance["id"] for instance in instances} and all(
        instance["status"] == "healthy" for instance in instances
    )


@nouns.command("logs")
@mesh_command_without_json
def show_logs(
    mesh: Mesh,
    app: App,
    component: Component,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written.")] = False,
) -> None:
    """What a component wrote."""
    with mesh.client.open_response(
        "GET", _component_path(app, component, "logs"), params={"follow": 1 if follow else None}
    ) as response:
        print_logs(response)


def _component_path(app: str, *segments: str) -> str:
    return "/api/v1/apps" + url_path(app, "components", *segments)
