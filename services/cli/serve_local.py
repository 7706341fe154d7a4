"""`mlmesh serve local`: serves a component of a checkout as its manifest says, without a mesh."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import checkout, container_env, interpreter, render

if TYPE_CHECKING:
    from libs.common.manifests import MLComponent

nouns = typer.Typer(help="Serve from a checkout, without a platform.", no_args_is_help=True)
RUNTIME_PREFIX = "MLMESH_"
"""Prefix of the runtime's variables; those of this shell are for the command and not passed on."""


@nouns.callback()
def serve() -> None:
    """Makes `local` a word of its own."""


@nouns.command("local")
def serve_local(
    component: Annotated[str, typer.Argument(metavar="COMPONENT", help="An MLComponent's name, or module:function.")],
    model: Annotated[
        Path | None, typer.Option("--model", help="The model's file or folder, as it is in modelBox.", exists=True)
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Default: the manifest's; 0 takes a free one.")
    ] = None,
    folder: Annotated[Path, typer.Option("--folder", help="The module's repository.", exists=True)] = Path("."),
    python: Annotated[str, typer.Option("--python", help=interpreter.HELP)] = "",
) -> None:
    """Serve one component on this machine, with what its manifest says of env, loader, batching, timeout and warm-up.

    There are no boxes: a FILE is a path of this machine. What requirements.txt names must be in the interpreter.
    """
    overrides = {"MLMESH_HOST": host, **({} if port is None else {"MLMESH_PORT": str(port)})}
    overrides |= {"MLMESH_MODEL_PATH": str(model.resolve())} if model else {}
    declared = _manifest_environment(component, folder, model)
    command = _runtime_command(interpreter.choose_interpreter(python, folder))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(RUNTIME_PREFIX)}
    os.chdir(folder)
    os.execvpe(command[0], command, {**environ, **declared, **overrides})  # noqa: S606  signals reach it directly


def _manifest_environment(component: str, folder: Path, model: Path | None) -> dict[str, str]:
    """The environment of the component's container."""
    if ":" in component:
        return {"MLMESH_INFERENCE": component}
    from libs.common.manifests import MLComponent

    manifest, manifests = checkout.find_manifest(MLComponent, component, folder)
    spec, service = manifest.spec, manifest.spec.ml_service
    if service.model_box and model is None:
        render.write_note(
            f"{component} has no model here: --model is for {service.model_path} of the box {service.model_box}"
        )
    return {
        **container_env.build_environment(spec.env, spec.env_from, manifests, os.environ, component),
        **runtime_environment(manifest),
    }


def runtime_environment(component: MLComponent) -> dict[str, str]:
    """The variables by which the worker configures the component runtime, from the manifest."""
    spec, service = component.spec, component.spec.ml_service
    batching = service.batching
    values: Mapping[str, str | None] = {
        "MLMESH_COMPONENT_NAME": component.metadata.name,
        "MLMESH_INFERENCE": service.inference,
        "MLMESH_APP": service.app,
        "MLMESH_LOADER": service.loader,
        "MLMESH_PORT": str(spec.service_port),
        "MLMESH_CONCURRENCY": str(service.container_concurrency),
        "MLMESH_TIMEOUT": str(service.timeout),
        "MLMESH_BATCH_SIZE": str(batching.max_size) if batching else None,
        "MLMESH_BATCH_DELAY_MS": str(batching.max_delay_ms) if batching else None,
        "MLMESH_WARMUP": json.dumps([dict(request) for request in service.warmup]),
        "MLMESH_BOXES": json.dumps([box.name for box in spec.connected_boxes]),
        "MLMESH_MODEL_BOX": service.model_box,
    }
    return {name: value for name, value in values.items() if value is not None}


def _runtime_command(python: str) -> list[str]:
    """Another interpreter runs `serve.py`, as a container does: the module's own packages come first."""
    import mlmesh_component

    if python == sys.executable:
        return [python, "-m", "mlmesh_component"]
    return [python, str(Path(next(iter(mlmesh_component.__path__))).parent / "serve.py")]
