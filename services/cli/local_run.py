"""`mlmesh run local`: a pipeline and what continues it, from a checkout, by the platform's contract, without it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import checkout, container_env, interpreter, render
from services.cli.arguments import assignments, value
from services.cli.cli_errors import Failure, WrongUsage

if TYPE_CHECKING:
    from libs.common.manifests import Manifest
    from libs.common.manifests.apicomponent import ApiInput
    from libs.common.manifests.experimentpipeline import ExperimentPipeline, Stage, Variable
    from libs.common.manifests.fields import Header

GRACE_S = 10.0
OF_FILES = frozenset({"FILE", "FOLDER"})


def local(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="An ExperimentPipeline's name.")],
    inputs: Annotated[list[str] | None, typer.Option("--input", metavar="VAR=VALUE", help="A path or a value.")] = None,
    into: Annotated[Path, typer.Option("--into", help="Has a folder for each variable of a stage.")] = Path("results"),
    folder: Annotated[Path, typer.Option("--folder", help="The module's repository.")] = Path("."),
    python: Annotated[str, typer.Option("--python", help=interpreter.HELP)] = "",
    docker: Annotated[bool, typer.Option("--docker", help="In the stages' images, by the docker command.")] = False,
) -> None:
    """Run a pipeline of the checkout, and those that continue it, on this machine, as the platform would."""
    chain, api, manifests = declared(pipeline, folder)
    program = sys.executable if docker else interpreter.chosen(python, folder)
    with tempfile.TemporaryDirectory(prefix="mlmesh-") as scratch:
        parts = rehearsed(chain, api, dict(assignments(inputs or [])), into.resolve(), Path(scratch))
        rehearsal = Rehearsal(folder.resolve(), Path(scratch), program, docker, manifests)
        for part in parts:
            for stage in ordered(part.pipeline):
                rehearsal.play(stage, {**part.reads, **part.writes})
    for part in parts:
        for name, place in part.writes.items():
            render.write(f"{name}  {place}")


@dataclass(frozen=True)
class Part:
    """One pipeline of a chain, and where its variables are."""

    pipeline: ExperimentPipeline
    reads: Mapping[str, Path]
    writes: Mapping[str, Path]


def declared(
    name: str, folder: Path
) -> tuple[Sequence[ExperimentPipeline], Mapping[str, ApiInput], Sequence[Manifest[Header]]]:
    """The pipeline and those that continue it, what its API says of their inputs, and all manifests. Raises Failure."""
    from libs.common.manifests import APIComponent, data_flow
    from libs.common.manifests.experimentpipeline import ExperimentPipeline

    _, found = checkout.named(ExperimentPipeline, name, folder)
    pipelines = {one.body.metadata.name: one.body for one in found if isinstance(one.body, ExperimentPipeline)}
    apis = [one.body.spec for one in found if isinstance(one.body, APIComponent)]
    of_it = [api for api in apis if api.experiment_pipeline is not None and api.experiment_pipeline.name == name]
    inputs = {item.name: item for api in of_it if api.api_spec for item in api.api_spec.inputs}
    return data_flow.follow_chain(pipelines, name), inputs, found


def rehearsed(
    chain: Sequence[ExperimentPipeline],
    api: Mapping[str, ApiInput],
    values: Mapping[str, str],
    into: Path,
    scratch: Path,
) -> list[Part]:
    """Everything in its place before anything runs; of a chain each pipeline has a folder. Raises Failure."""
    from libs.common.manifests.data_flow import inherited_variables

    links = [{}, *(inherited_variables(before, after) for before, after in itertools.pairwise(chain))]
    wanted = [outside(pipeline, link) for pipeline, link in zip(chain, links, strict=True)]
    known = {one.name for variables in wanted for one in variables}
    if unknown := values.keys() - known:
        raise WrongUsage(f"{', '.join(sorted(unknown))}: inputs are {', '.join(sorted(known)) or 'none'}")
    found: list[Part] = []
    for pipeline, link, variables in zip(chain, links, wanted, strict=True):
        earlier = {**found[-1].reads, **found[-1].writes} if found else {}
        reads = {theirs: earlier[ours] for theirs, ours in link.items() if ours in earlier}
        reads |= given(variables, api, values, scratch)
        found.append(Part(pipeline, reads, made(pipeline, into / pipeline.metadata.name if chain[1:] else into)))
    return found


def outside(pipeline: ExperimentPipeline, handed: Collection[str]) -> list[Variable]:
    """The variables that no stage writes and no pipeline before hands on."""
    from libs.common.manifests.data_flow import output_producers

    inside = {*output_producers(pipeline), *handed}
    return [one for one in pipeline.spec.vars if one.name not in inside]


def ordered(pipeline: ExperimentPipeline) -> list[Stage]:
    from libs.common.manifests import stage_graph

    stages = {stage.name: stage for stage in pipeline.spec.stages}
    return [stages[name] for name in stage_graph.sort_stages(pipeline.spec.stages)]


def given(
    wanted: Iterable[Variable], api: Mapping[str, ApiInput], values: Mapping[str, str], scratch: Path
) -> dict[str, Path]:
    """The paths of variables from outside; a value becomes a file, as on the platform. Raises Failure."""
    found = {}
    for name, mounted in ((one.name, one.mount_from) for one in wanted):
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
    def __init__(
        self, folder: Path, scratch: Path, python: str, docker: bool, manifests: Sequence[Manifest[Header]]
    ) -> None:
        self._folder = folder
        self._scratch = scratch
        self._python = python
        self._docker = docker
        self._manifests = manifests

    def play(self, stage: Stage, paths: Mapping[str, Path]) -> None:
        """Raises Failure with what a run would say."""
        reads = {one.name: paths[one.name] for one in stage.inputs if one.name in paths}
        writes = {one.name: paths[one.name] for one in stage.outputs}
        from libs.common.manifests.variables import environment_name

        progress = self._scratch / f"{stage.name}.progress"
        progress.touch()
        if self._docker:  # any user of the image writes here, as on the platform
            for place in (progress, *writes.values()):
                place.chmod(0o666 if place is progress else 0o777)
        environ = {
            **container_env.of(stage.env, stage.env_from, self._manifests, os.environ, f"stage {stage.name}"),
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
        ours = {name for name, text in environ.items() if os.environ.get(name) == text}  # secrets: not in its arguments
        values = [f"--env={name}" if name in ours else f"--env={name}={text}" for name, text in environ.items()]
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
