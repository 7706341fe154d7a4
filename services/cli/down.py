"""`mlmesh down`, and what `mlmesh up` says at its end: containers outlive the mesh that started them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from libs.common.errors import MeshError
from services.cli import render
from services.cli.cli_errors import Failure
from services.cli.data_dir import known_key, locked
from services.cli.service_factories import Parts
from services.cli.service_process import configured

if TYPE_CHECKING:
    from libs.common.settings import Settings

DOCKER = "docker:"


def down(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option("--data", help="Of the mesh; default ~/.local/share/mlmesh.")] = None,
) -> None:
    """Remove the containers and networks that `mlmesh up --runtime docker` left; the data stays."""
    parts: Parts = context.obj
    settings = configured(data=data)
    settings = settings.with_values(
        data=settings.data.absolute(),
        runtime=settings.runtime if settings.runtime.startswith(DOCKER) else "docker://",
        internal_token=settings.internal_token or known_key(settings.data, "internal-token"),
    )
    if not settings.internal_token:
        raise Failure(f"there has been no mesh in {settings.data}; name its folder with --data")
    with locked(settings.data):
        tasks, networks = asyncio.run(parts.remains().remove(settings))
    render.write(f"{_number(tasks, 'container')} and {_number(networks, 'network')} removed; the data stays")


def tell(settings: Settings, parts: Parts) -> None:
    """At the end of `up`: whether anything runs on."""
    if not settings.runtime.startswith(DOCKER):
        return
    try:
        left = asyncio.run(parts.remains().count(settings))
    except MeshError:
        return  # the engine has ended, too
    if left:
        runs = "runs" if left == 1 else "run"
        where = "" if settings.data == type(settings).from_values().data.absolute() else f" --data {settings.data}"
        render.note(
            f"{_number(left, 'container')} {runs} on: mlmesh up{where} --runtime docker goes on with them, "
            f"mlmesh down{where} removes them"
        )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
