"""Data-flow checks: a pipeline gets each variable from a caller, a stage, a mount or the previous pipeline. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from libs.common.manifests import APIComponent, ExperimentPipeline, Manifest, Problem
from libs.common.manifests.apicomponent import ApiSpec
from libs.common.manifests.data_flow import (
    Pipelines,
    external_variables,
    follow_chain,
    inherited_variables,
    output_producers,
)
from libs.common.manifests.fields import Header
from libs.common.manifests.messages import closest_name
from libs.common.manifests.problems import Path

Chain = Sequence[ExperimentPipeline]


@dataclass(frozen=True, slots=True)
class PipelineStart:
    """A schedule or an API that starts a chain of pipelines; `title` is its field in the manifest."""

    title: str
    variables: frozenset[str]
    chain: Chain

    def provides(self, index: int, variable: str) -> bool:
        """Whether the pipeline at this index of the chain receives the variable."""
        return variable in self.variables or (
            index > 0 and variable in inherited_variables(self.chain[index - 1], self.chain[index])
        )


PipelineStarts = Mapping[str, Sequence[tuple[PipelineStart, int]]]
"""The starts that reach a pipeline, each with the pipeline's index in the chain; by pipeline."""


def select_pipelines(manifests: Sequence[Manifest[Header]]) -> Pipelines:
    return {manifest.name: manifest.body for manifest in manifests if isinstance(manifest.body, ExperimentPipeline)}


def group_by_pipeline(starts: Iterable[PipelineStart]) -> PipelineStarts:
    groups: dict[str, list[tuple[PipelineStart, int]]] = {}
    for start in starts:
        for index, pipeline in enumerate(start.chain):
            groups.setdefault(pipeline.metadata.name, []).append((start, index))
    return groups


def list_starts(manifests: Sequence[Manifest[Header]], pipelines: Pipelines) -> Iterator[PipelineStart]:
    for name, pipeline in pipelines.items():
        if pipeline.spec.schedule is not None:
            variables = frozenset(pipeline.spec.schedule.inputs) | list_optional_inputs(manifests, name)
            yield PipelineStart(
                f'spec.schedule.inputs of ExperimentPipeline "{name}"', variables, follow_chain(pipelines, name)
            )
    for manifest in manifests:
        if isinstance(manifest.body, APIComponent) and (target := manifest.body.spec.experiment_pipeline):
            inputs = manifest.body.spec.api_spec.inputs if manifest.body.spec.api_spec else ()
            names = frozenset(item.name for item in inputs)
            title = f'spec.apiSpec.inputs of APIComponent "{manifest.name}"'
            yield PipelineStart(title, names, follow_chain(pipelines, target.name))


def list_optional_inputs(manifests: Sequence[Manifest[Header]], pipeline: str) -> frozenset[str]:
    """Inputs of the pipeline that an API marks as not required."""
    apis = (manifest.body.spec for manifest in manifests if isinstance(manifest.body, APIComponent))
    pipeline_apis = (api for api in apis if api.experiment_pipeline and api.experiment_pipeline.name == pipeline)
    return frozenset(
        item.name for api in pipeline_apis if api.api_spec for item in api.api_spec.inputs if not item.required
    )


def check_schedule_inputs(chain: Chain, manifest: Manifest[Header], body: ExperimentPipeline) -> Iterator[Problem]:
    """Each input of a schedule is an open variable of the chain. An empty chain (not readable) is not checked."""
    for name in body.spec.schedule.inputs if body.spec.schedule and chain else ():
        path = ("spec", "schedule", "inputs", name)
        if not any(name == variable.name for pipeline in chain for variable in pipeline.spec.vars):
            yield manifest.problem_at(path, unknown_variable_message(name, chain))
        elif not any(name in external_variables(pipeline) for pipeline in chain):
            yield manifest.problem_at(
                path, f'"{name}" is written by a stage or mounted and cannot be given; remove it here'
            )


def check_unprovided_inputs(
    starts: PipelineStarts, manifest: Manifest[Header], body: ExperimentPipeline
) -> Iterator[Problem]:
    """Inputs of stages that at least one start of the pipeline does not provide."""
    pipeline_starts = starts.get(body.metadata.name, ())
    for path, stage, name in list_inputs_without_source(body):
        for start, index in pipeline_starts:
            if not start.provides(index, name):
                sentence = (
                    f'nothing gives stage "{stage}" its input "{name}"; add it to {start.title}, or make it an output '
                    f'of a stage, or give it "mountFrom"'
                )
                yield manifest.problem_at(path, sentence)
        if not pipeline_starts:
            sentence = (
                f'nothing gives stage "{stage}" its input "{name}"; name it in spec.apiSpec.inputs of an APIComponent '
                f'for this pipeline (there is none), or make it an output of a stage, or give it "mountFrom"'
            )
            yield manifest.problem_at(path, sentence)


def list_inputs_without_source(body: ExperimentPipeline) -> Iterator[tuple[Path, str, str]]:
    """Path, stage and variable of inputs that no stage writes and no mount provides; each variable once."""
    open_names = set(external_variables(body))
    for index, stage in enumerate(body.spec.stages):
        for position, variable in enumerate(stage.inputs):
            if variable.name in open_names:
                open_names.remove(variable.name)
                yield ("spec", "stages", index, "inputs", position, "name"), stage.name, variable.name


def check_api_spec(manifest: Manifest[Header], api: ApiSpec, chain: Chain) -> Iterator[Problem]:
    """The inputs and outputs of an API against the variables of the chain."""
    for index, name in enumerate(item.name for item in api.inputs):
        path: Path = ("spec", "apiSpec", "inputs", index, "name")
        first = next(
            (pipeline for pipeline in chain if any(name == variable.name for variable in pipeline.spec.vars)), None
        )
        if first is None:
            yield manifest.problem_at(path, unknown_variable_message(name, chain))
        elif any(name in external_variables(pipeline) for pipeline in chain):
            continue
        elif name in output_producers(first):
            stage = output_producers(first)[name]
            yield manifest.problem_at(
                path, f'"{name}" is an output of stage "{stage}", a caller cannot give it; remove it'
            )
        else:
            yield manifest.problem_at(path, f'"{name}" has "mountFrom", a caller cannot give it; remove one of the two')
    for index, name in enumerate(item.name for item in api.outputs):
        path = ("spec", "apiSpec", "outputs", index, "name")
        if not any(name == variable.name for pipeline in chain for variable in pipeline.spec.vars):
            yield manifest.problem_at(path, unknown_variable_message(name, chain))
        elif not any(name in output_producers(pipeline) for pipeline in chain):
            yield manifest.problem_at(path, f'no stage has "{name}" as an output; add it to one, or remove it here')


def unknown_variable_message(name: str, chain: Chain) -> str:
    guess = closest_name(name, tuple(variable.name for pipeline in chain for variable in pipeline.spec.vars))
    advice = f'did you mean "{guess}"?' if guess else "add it there, or correct it"
    return f'ExperimentPipeline "{chain[0].metadata.name}" has no variable "{name}"; {advice}'


def check_continue_with(
    pipelines: Pipelines, manifest: Manifest[Header], body: ExperimentPipeline
) -> Iterator[Problem]:
    """The variables of continueWith exist in both pipelines, and the chain has no cycle."""
    next_reference = body.spec.continue_with
    if next_reference is None or next_reference.experiment_pipeline.name not in pipelines:
        return
    chain = follow_chain(pipelines, body.metadata.name)
    names = [pipeline.metadata.name for pipeline in chain]
    last = chain[-1].spec.continue_with
    if last is not None and last.experiment_pipeline.name == body.metadata.name:
        circle = " → ".join([*names, names[0]])
        sentence = f"pipelines continue each other in a circle: {circle}; remove one continueWith"
        yield manifest.problem_at(("spec", "continueWith"), sentence)
        return
    yield from check_variable_mapping(manifest, body, chain[1])


def check_variable_mapping(
    manifest: Manifest[Header], body: ExperimentPipeline, next_pipeline: ExperimentPipeline
) -> Iterator[Problem]:
    source_names = tuple(variable.name for variable in body.spec.vars)
    target_names = tuple(variable.name for variable in next_pipeline.spec.vars)
    for name, source in (body.spec.continue_with.vars if body.spec.continue_with else {}).items():
        path = ("spec", "continueWith", "vars", name)
        if name not in target_names:
            yield manifest.problem_at(path, unknown_variable_message(name, [next_pipeline]))
        elif name not in external_variables(next_pipeline):
            title = f'"{name}" of "{next_pipeline.metadata.name}"'
            sentence = f"{title} is written by a stage or mounted there and cannot be given; remove it here"
            yield manifest.problem_at(path, sentence)
        if source not in source_names:
            yield manifest.problem_at(path, unknown_variable_message(source, [body]))
