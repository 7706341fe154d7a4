"""The files of a chain that runs on this machine: where each pipeline reads its inputs and writes its outputs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli.arguments import parse_value
from services.cli.cli_errors import Failure, WrongUsage

if TYPE_CHECKING:
    from libs.common.manifests.apicomponent import ApiInput
    from libs.common.manifests.experimentpipeline import ExperimentPipeline, Variable

FILE_TYPES = frozenset({"FILE", "FOLDER"})


@dataclass(frozen=True)
class ChainPart:
    """One pipeline of a chain, and the paths of its variables."""

    pipeline: ExperimentPipeline
    inputs: Mapping[str, Path]
    outputs: Mapping[str, Path]


def resolve_chain_files(
    chain: Sequence[ExperimentPipeline],
    api: Mapping[str, ApiInput],
    values: Mapping[str, str],
    into: Path,
    scratch: Path,
) -> list[ChainPart]:
    """Resolve all paths before anything runs; each pipeline of a chain has its own output folder. Raises Failure."""
    from libs.common.manifests.data_flow import inherited_variables

    links = [{}, *(inherited_variables(previous, following) for previous, following in itertools.pairwise(chain))]
    external = [external_variables(pipeline, link) for pipeline, link in zip(chain, links, strict=True)]
    names = {variable.name for variables in external for variable in variables}
    if unknown := values.keys() - names:
        raise WrongUsage(f"{', '.join(sorted(unknown))}: inputs are {', '.join(sorted(names)) or 'none'}")
    parts: list[ChainPart] = []
    for pipeline, link, variables in zip(chain, links, external, strict=True):
        earlier = {**parts[-1].inputs, **parts[-1].outputs} if parts else {}
        input_paths = {
            target_name: earlier[source_name] for target_name, source_name in link.items() if source_name in earlier
        }
        input_paths |= resolve_inputs(variables, api, values, scratch)
        folder = into / pipeline.metadata.name if chain[1:] else into
        parts.append(ChainPart(pipeline, input_paths, create_output_folders(pipeline, folder)))
    return parts


def external_variables(pipeline: ExperimentPipeline, inherited: Collection[str]) -> list[Variable]:
    """Variables that neither a stage nor a previous pipeline provides."""
    from libs.common.manifests.data_flow import output_producers

    internal = {*output_producers(pipeline), *inherited}
    return [variable for variable in pipeline.spec.vars if variable.name not in internal]


def resolve_inputs(
    variables: Iterable[Variable], api: Mapping[str, ApiInput], values: Mapping[str, str], scratch: Path
) -> dict[str, Path]:
    """The paths of external variables; a value is written to a file, as on the platform. Raises Failure."""
    paths = {}
    for name, mount in ((variable.name, variable.mount_from) for variable in variables):
        if name in values:
            paths[name] = _input_path(name, values[name], api.get(name), scratch)
        elif mount is not None:
            raise WrongUsage(f"{name} comes from {mount.box}/{mount.path} on the platform; say --input {name}=PATH")
        elif name not in api or api[name].required:
            raise WrongUsage(f"{name} is missing; say --input {name}=VALUE")
    return paths


def _input_path(name: str, text: str, api: ApiInput | None, scratch: Path) -> Path:
    types = set(api.type.datatypes) if api is not None else set()
    path = Path(text).expanduser()
    if path.exists() and (not types or types & FILE_TYPES):
        return path.resolve()
    if types and types <= FILE_TYPES:
        raise Failure(f"{name}: there is no {path}")
    content = parse_value(text)
    suffix, file_text = (".txt", content) if isinstance(content, str) else (".json", json.dumps(content))
    file = scratch / f"{name}{suffix}"
    file.write_text(file_text)
    return file


def create_output_folders(pipeline: ExperimentPipeline, into: Path) -> dict[str, Path]:
    """Create an empty folder for each output variable. Raises Failure."""
    folders = {output.name: into / output.name for stage in pipeline.spec.stages for output in stage.outputs}
    for path in folders.values():
        if path.exists() and any(path.iterdir()):
            raise Failure(f"{path} is not empty; remove it, or say where else with --into")
        path.mkdir(parents=True, exist_ok=True)
    return folders
