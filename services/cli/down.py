"""`mlmesh down`, and the note at the end of `mlmesh up`: containers outlive the mesh that started them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from libs.common.errors import MeshError
from services.cli import render
from services.cli.cli_errors import Failure
from services.cli.data_dir import load_key, lock_data_dir
from services.cli.service_factories import ServiceFactories
from services.cli.service_process import load_settings

if TYPE_CHECKING:
    from libs.common.settings import Settings

DOCKER = "docker:"


def down(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option("--data", help="Of the mesh; default ~/.local/share/mlmesh.")] = None,
    images: Annotated[
        bool, typer.Option("--images", help="Remove the images that it built, too; mlmesh app sync builds them again.")
    ] = False,
) -> None:
    """Remove the containers and networks that `mlmesh up --runtime docker` left; the data stays."""
    factories: ServiceFactories = context.obj
    settings = load_settings(data=data)
    settings = settings.with_values(
        data=settings.data.absolute(),
        runtime=settings.runtime if settings.runtime.startswith(DOCKER) else "docker://",
        internal_token=settings.internal_token or load_key(settings.data, "internal-token"),
    )
    if not settings.internal_token:
        raise Failure(f"there has been no mesh in {settings.data}; name its folder with --data")
    with lock_data_dir(settings.data):
        counts = asyncio.run(factories.load_teardown().remove(settings, images=images))
    where = "" if data is None else f" --data {settings.data}"
    render.write_lines(describe_removal(*counts, images=images, where=where))


def describe_removal(tasks: int, networks: int, built: int, *, images: bool, where: str = "") -> str:
    """`built`: the images that the mesh has built; `images`: they were removed; `where`: the option `--data`."""
    containers_text, networks_text = _count_text(tasks, "container"), _count_text(networks, "network")
    images_text = _count_text(built, "image")
    if images:
        return f"{containers_text}, {networks_text} and {images_text} removed; the data stays"
    stays = f", and {images_text} that it built: mlmesh down{where} --images removes them" if built else ""
    return f"{containers_text} and {networks_text} removed; the data stays{stays}"


def note_remaining_containers(settings: Settings, factories: ServiceFactories) -> None:
    """At the end of `up`: note containers that are still running."""
    if not settings.runtime.startswith(DOCKER):
        return
    try:
        containers = asyncio.run(factories.load_teardown().count(settings))
    except MeshError:
        return  # the engine has stopped, too
    if containers:
        runs = "runs" if containers == 1 else "run"
        where = "" if settings.data == type(settings).from_values().data.absolute() else f" --data {settings.data}"
        render.write_note(
            f"{_count_text(containers, 'container')} {runs} on: mlmesh up{where} --runtime docker goes on with them, "
            f"mlmesh down{where} removes them"
        )


def _count_text(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
