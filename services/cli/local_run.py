"""`mlmesh run local`: runs a pipeline of a checkout, and its chain, with the platform's contract but without a mesh."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import chain_files, checkout, container_env, interpreter, render
from services.cli.arguments import parse_assignments
from services.cli.cli_errors import Failure

if TYPE_CHECKING:
    from libs.common.manifests import Manifest
    from libs.common.manifests.apicomponent import ApiInput
    from libs.common.manifests.experimentpipeline import ExperimentPipeline, Stage
    from libs.common.manifests.fields import Header

STOP_GRACE_S = 10.0


def run_local(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="An ExperimentPipeline's name.")],
    inputs: Annotated[list[str] | None, typer.Option("--input", metavar="VAR=VALUE", help="A path or a value.")] = None,
    into: Annotated[Path, typer.Option("--into", help="Has a folder for each variable of a stage.")] = Path("results"),
    folder: Annotated[Path, typer.Option("--folder", help="The module's repository.")] = Path("."),
    python: Annotated[str, typer.Option("--python", help=interpreter.HELP)] = "",
    docker: Annotated[bool, typer.Option("--docker", help="In the stages' images, by the docker command.")] = False,
) -> None:
    """Run a pipeline of the checkout, and those that continue it, on this machine, as the platform would."""
    chain, api, manifests = load_chain(pipeline, folder)
    program = sys.executable if docker else interpreter.choose_interpreter(python, folder)
    values = dict(parse_assignments(inputs or []))
    with tempfile.TemporaryDirectory(prefix="mlmesh-") as scratch:
        parts = chain_files.resolve_chain_files(chain, api, values, into.resolve(), Path(scratch))
        local_run = LocalRun(folder.resolve(), Path(scratch), program, docker, manifests)
        for part in parts:
            for stage in order_stages(part.pipeline):
                local_run.run_stage(stage, {**part.inputs, **part.outputs})
    for part in parts:
        for name, path in part.outputs.items():
            render.write_lines(f"{name}  {path}")


def load_chain(
    name: str, folder: Path
) -> tuple[Sequence[ExperimentPipeline], Mapping[str, ApiInput], Sequence[Manifest[Header]]]:
    """The pipeline and its successors, the inputs of its API, and all manifests. Raises Failure."""
    from libs.common.manifests import APIComponent, data_flow
    from libs.common.manifests.experimentpipeline import ExperimentPipeline

    _, documents = checkout.find_manifest(ExperimentPipeline, name, folder)
    pipelines = {
        document.body.metadata.name: document.body
        for document in documents
        if isinstance(document.body, ExperimentPipeline)
    }
    apis = [document.body.spec for document in documents if isinstance(document.body, APIComponent)]
    pipeline_apis = [
        api for api in apis if api.experiment_pipeline is not None and api.experiment_pipeline.name == name
    ]
    inputs = {item.name: item for api in pipeline_apis if api.api_spec for item in api.api_spec.inputs}
    return data_flow.follow_chain(pipelines, name), inputs, documents


def order_stages(pipeline: ExperimentPipeline) -> list[Stage]:
    from libs.common.manifests import stage_graph

    stages = {stage.name: stage for stage in pipeline.spec.stages}
    return [stages[name] for name in stage_graph.sort_stages(pipeline.spec.stages)]


class LocalRun:
    def __init__(
        self, folder: Path, scratch: Path, python: str, docker: bool, manifests: Sequence[Manifest[Header]]
    ) -> None:
        self._folder = folder
        self._scratch = scratch
        self._python = python
        self._docker = docker
        self._manifests = manifests

    def run_stage(self, stage: Stage, paths: Mapping[str, Path]) -> None:
        """Run one stage. Raises Failure with the message that a run would show."""
        input_paths = {item.name: paths[item.name] for item in stage.inputs if item.name in paths}
        output_paths = {item.name: paths[item.name] for item in stage.outputs}
        from libs.common.manifests.variables import environment_name

        progress = self._scratch / f"{stage.name}.progress"
        progress.touch()
        if self._docker:  # any user of the image writes here, as on the platform
            for path in (progress, *output_paths.values()):
                path.chmod(0o666 if path is progress else 0o777)
        environ = {
            **container_env.build_environment(
                stage.env, stage.env_from, self._manifests, os.environ, f"stage {stage.name}"
            ),
            **{environment_name(name): str(path) for name, path in {**input_paths, **output_paths}.items()},
            "MLMESH_PROGRESS": str(progress),
        }
        render.write_note(f"stage {stage.name}")
        started_at = time.monotonic()
        code = self._run_process(stage, environ, input_paths.values(), [*output_paths.values(), progress])
        if code:
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise Failure(f"stage {stage.name}: {how}")
        for name, path in output_paths.items():
            if not any(path.iterdir()):
                raise Failure(f"stage {stage.name} wrote nothing to {name}")
        render.write_note(f"stage {stage.name}: succeeded in {time.monotonic() - started_at:.1f} s")

    def _run_process(
        self, stage: Stage, environ: Mapping[str, str], input_paths: Iterable[Path], output_paths: Iterable[Path]
    ) -> int:
        command = (
            self._docker_command(stage, environ, input_paths, output_paths)
            if self._docker
            else self._process_command(stage)
        )
        path = os.pathsep.join([str(Path(self._python).parent), os.environ.get("PATH", "")])
        options: Any = {} if self._docker else {"cwd": self._folder, "env": {**os.environ, **environ, "PATH": path}}
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
        except OSError as error:
            raise Failure(f"stage {stage.name}: {command[0]}: {error.strerror}") from error
        try:
            return process.wait(stage.timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"stage {stage.name}: timeout, not finished within {stage.timeout:g} s") from None
        finally:
            _stop_process(process)

    def _process_command(self, stage: Stage) -> list[str]:
        if stage.entry_point is None:
            raise Failure(f"stage {stage.name} has no entryPoint: its image knows what to run; say --docker")
        return list(stage.entry_point)

    def _docker_command(
        self, stage: Stage, environ: Mapping[str, str], input_paths: Iterable[Path], output_paths: Iterable[Path]
    ) -> list[str]:
        mounts = [f"--volume={path}:{path}:ro" for path in input_paths] + [
            f"--volume={path}:{path}" for path in output_paths
        ]
        # variables of this shell are passed by name, which keeps secrets out of the arguments
        inherited = {name for name, text in environ.items() if os.environ.get(name) == text}
        values = [f"--env={name}" if name in inherited else f"--env={name}={text}" for name, text in environ.items()]
        image = stage.image.existing_image_name
        if image is None:
            raise Failure(
                f"the image of stage {stage.name} is built by a mesh (image.build), not by --docker; leave that away"
            )
        options = ["--rm", "--init", "--cap-drop=ALL", "--security-opt=no-new-privileges", *mounts, *values]
        words = list(stage.entry_point or ())
        entry = [f"--entrypoint={words[0]}"] if words else []
        return ["docker", "run", *options, *entry, image, *words[1:]]


def _stop_process(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, grace period, SIGKILL, for the whole process group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
