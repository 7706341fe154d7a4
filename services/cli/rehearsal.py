"""`mlmesh run local`: a pipeline from a checkout, stage by stage, with the contract of the platform and without it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import checkout, render
from services.cli.failure import Failure, WrongUsage
from services.cli.values import assignments, value

if TYPE_CHECKING:
    from libs.common.manifests.apicomponent import ApiInput
    from libs.common.manifests.experimentpipeline import ExperimentPipeline, Stage

GRACE_S = 10.0
OF_FILES = frozenset({"FILE", "FOLDER"})


def local(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="An ExperimentPipeline's name.")],
    inputs: Annotated[list[str] | None, typer.Option("--input", metavar="VAR=VALUE", help="A path or a value.")] = None,
    into: Annotated[Path, typer.Option("--into", help="Has a folder for each variable of a stage.")] = Path("results"),
    folder: Annotated[Path, typer.Option("--folder", help="The module's repository.")] = Path("."),
    python: Annotated[str, typer.Option("--python", help="Interpreter that has the module's libraries.")] = "",
    docker: Annotated[bool, typer.Option("--docker", help="In the stages' images, by the docker command.")] = False,
) -> None:
    """Run a pipeline of the checkout on this machine, as the platform would."""
    found, api = declared(pipeline, folder)
    with tempfile.TemporaryDirectory(prefix="mlmesh-") as scratch:
        paths = given(found, api, dict(assignments(inputs or [])), Path(scratch))
        outputs = made(found, into.resolve())
        rehearsal = Rehearsal(folder.resolve(), Path(scratch), python or sys.executable, docker)
        for stage in ordered(found):
            rehearsal.play(stage, {**paths, **outputs})
    for name, place in outputs.items():
        render.write(f"{name}  {place}")
    if following := found.spec.continue_with:
        render.note(f"on the platform {following.experiment_pipeline.name} follows, and is handed these")


def declared(name: str, folder: Path) -> tuple[ExperimentPipeline, Mapping[str, ApiInput]]:
    """The pipeline, and what its API says of its inputs. Raises Failure."""
    from libs.common.manifests import APIComponent
    from libs.common.manifests.experimentpipeline import ExperimentPipeline

    pipeline, found = checkout.named(ExperimentPipeline, name, folder)
    apis = [one.body.spec for one in found if isinstance(one.body, APIComponent)]
    of_it = [api for api in apis if api.experiment_pipeline is not None and api.experiment_pipeline.name == name]
    return pipeline, {item.name: item for api in of_it if api.api_spec for item in api.api_spec.inputs}


def ordered(pipeline: ExperimentPipeline) -> list[Stage]:
    from libs.common.manifests import graph

    stages = {stage.name: stage for stage in pipeline.spec.stages}
    return [stages[name] for name in graph.order(pipeline.spec.stages)]


def given(
    pipeline: ExperimentPipeline, api: Mapping[str, ApiInput], values: Mapping[str, str], scratch: Path
) -> dict[str, Path]:
    """The paths of the variables that no stage writes; a value becomes a file, as on the platform. Raises Failure."""
    written = {one.name for stage in pipeline.spec.stages for one in stage.outputs}
    wanted = {one.name: one.mount_from for one in pipeline.spec.vars if one.name not in written}
    if unknown := values.keys() - wanted.keys():
        raise WrongUsage(f"{', '.join(sorted(unknown))}: inputs are {', '.join(sorted(wanted)) or 'none'}")
    found = {}
    for name, mounted in wanted.items():
        if name in values:
            found[name] = _path(name, values[name], api.get(name), scratch)
        elif mounted is not None:
            raise WrongUsage(f"{name} comes from {mounted.box}/{mounted.path} on the platform; say --input {name}=PATH")
        elif name not in api or api[name].required:
            raise WrongUsage(f"{name} is missing; say --input {name}=VALUE")
    return found


def _path(name: str, text: str, api: ApiInput | None, scratch: Path) -> Path:
    types = set(api.type.datatypes) if api is not None else set()
    place = Path(text).expanduser()
    if place.exists() and (not types or types & OF_FILES):
        return place.resolve()
    if types and types <= OF_FILES:
        raise Failure(f"{name}: there is no {place}")
    content = value(text)
    suffix, written = (".txt", content) if isinstance(content, str) else (".json", json.dumps(content))
    file = scratch / f"{name}{suffix}"
    file.write_text(written)
    return file


def made(pipeline: ExperimentPipeline, into: Path) -> dict[str, Path]:
    """An empty folder for each variable that a stage writes. Raises Failure."""
    found = {one.name: into / one.name for stage in pipeline.spec.stages for one in stage.outputs}
    for place in found.values():
        if place.exists() and any(place.iterdir()):
            raise Failure(f"{place} is not empty; remove it, or say where else with --into")
        place.mkdir(parents=True, exist_ok=True)
    return found


class Rehearsal:
    def __init__(self, folder: Path, scratch: Path, python: str, docker: bool) -> None:
        self._folder = folder
        self._scratch = scratch
        self._python = python
        self._docker = docker

    def play(self, stage: Stage, paths: Mapping[str, Path]) -> None:
        """Raises Failure with what a run would say."""
        reads = {one.name: paths[one.name] for one in stage.inputs if one.name in paths}
        writes = {one.name: paths[one.name] for one in stage.outputs}
        from libs.common.manifests.variables import environment_name

        progress = self._scratch / f"{stage.name}.progress"
        progress.touch()
        environ = {
            **{one.name: one.value for one in stage.env},
            **{environment_name(name): str(place) for name, place in {**reads, **writes}.items()},
            "MLMESH_PROGRESS": str(progress),
        }
        render.note(f"stage {stage.name}")
        began = time.monotonic()
        code = self._run(stage, environ, reads.values(), [*writes.values(), progress])
        if code:
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise Failure(f"stage {stage.name}: {how}")
        for name, place in writes.items():
            if not any(place.iterdir()):
                raise Failure(f"stage {stage.name} wrote nothing to {name}")
        render.note(f"stage {stage.name}: succeeded in {time.monotonic() - began:.1f} s")

    def _run(self, stage: Stage, environ: Mapping[str, str], reads: Iterable[Path], writes: Iterable[Path]) -> int:
        command = self._contained(stage, environ, reads, writes) if self._docker else self._bare(stage)
        path = os.pathsep.join([str(Path(self._python).parent), os.environ.get("PATH", "")])
        own: Any = {} if self._docker else {"cwd": self._folder, "env": {**os.environ, **environ, "PATH": path}}
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **own)
        except OSError as error:
            raise Failure(f"stage {stage.name}: {command[0]}: {error.strerror}") from error
        try:
            return process.wait(stage.timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"stage {stage.name}: timeout, not finished within {stage.timeout:g} s") from None
        finally:
            _end(process)

    def _bare(self, stage: Stage) -> list[str]:
        if stage.entry_point is None:
            raise Failure(f"stage {stage.name} has no entryPoint: its image knows what to run; say --docker")
        return list(stage.entry_point)

    def _contained(
        self, stage: Stage, environ: Mapping[str, str], reads: Iterable[Path], writes: Iterable[Path]
    ) -> list[str]:
        mounts = [f"--volume={one}:{one}:ro" for one in reads] + [f"--volume={one}:{one}" for one in writes]
        values = [f"--env={name}={text}" for name, text in environ.items()]
        image = stage.image.existing_image_name or ""
        options = ["--rm", "--init", "--cap-drop=ALL", "--security-opt=no-new-privileges", *mounts, *values]
        words = list(stage.entry_point or ())
        entry = [f"--entrypoint={words[0]}"] if words else []
        return ["docker", "run", *options, *entry, image, *words[1:]]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop, grace, kill: it and what it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
