"""`mlmesh serve local`: a component from the checkout, without a platform."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.cli import checkout, render

nouns = typer.Typer(help="Serve from a checkout, without a platform.", no_args_is_help=True)
DEFAULT_PORT = 8002


@nouns.callback()
def group() -> None:
    """Makes `local` a word of its own."""


@nouns.command("local")
def local(
    component: Annotated[str, typer.Argument(metavar="COMPONENT", help="An MLComponent's name, or module:function.")],
    model: Annotated[Path | None, typer.Option("--model", help="The model's file or folder.", exists=True)] = None,
    port: Annotated[int | None, typer.Option("--port", help="Default: the manifest's.")] = None,
    folder: Annotated[Path, typer.Option("--folder", help="The module's repository.")] = Path("."),
    python: Annotated[str, typer.Option("--python", help="Interpreter that has the module's libraries.")] = "",
) -> None:
    """Serve one function on this machine, as its container would."""
    target, declared = _declared(component, folder)
    command = [python or sys.executable, "-m", "mlmesh_component", *target]
    command += ["--model", str(model.resolve())] if model else []
    command += ["--port", str(port or declared)]
    render.note(f"http://127.0.0.1:{port or declared}/{'' if '--app' in target else 'predict'}")
    os.chdir(folder)
    os.execvpe(command[0], command, _environment(folder.resolve()))  # noqa: S606  signals reach it directly


def _declared(component: str, folder: Path) -> tuple[list[str], int]:
    """What to serve, as the component runtime's arguments, and the port."""
    if ":" in component:
        return [component], DEFAULT_PORT
    from libs.common.manifests import MLComponent

    spec = checkout.named(MLComponent, component, folder)[0].spec
    service = spec.ml_service
    return (["--app", service.app] if service.app else [str(service.inference)]), spec.service_port


def _environment(folder: Path) -> dict[str, str]:
    """The module first on the import path, the component runtime after it."""
    import mlmesh_component

    runtime = Path(next(iter(mlmesh_component.__path__))).parent
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(runtime), *([known] if known else [])])}
