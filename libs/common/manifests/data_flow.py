"""Data flow between chained pipelines: the chain, and the variables that each pipeline passes to the next. Pure."""

from collections.abc import Mapping, Sequence

from libs.common.manifests.experimentpipeline import ExperimentPipeline
from libs.common.memoize import memoize_by_identity

Pipelines = Mapping[str, ExperimentPipeline]


def follow_chain(pipelines: Pipelines, first: str) -> tuple[ExperimentPipeline, ...]:
    """`first` and the pipelines that continue it, in order, up to a missing or a repeated one."""
    chain: dict[str, ExperimentPipeline] = {}
    name: str | None = first
    while name is not None and name in pipelines and name not in chain:
        chain[name] = pipelines[name]
        name = next_pipeline_name(pipelines[name])
    return tuple(chain.values())


def next_pipeline_name(pipeline: ExperimentPipeline) -> str | None:
    continuation = pipeline.spec.continue_with
    return continuation.experiment_pipeline.name if continuation else None


@memoize_by_identity
def output_producers(pipeline: ExperimentPipeline) -> dict[str, str]:
    """The stage that writes each variable."""
    return {variable.name: stage.name for stage in pipeline.spec.stages for variable in stage.outputs}


@memoize_by_identity
def external_variables(pipeline: ExperimentPipeline) -> list[str]:
    """Variables that a run must supply: no stage writes them, and they are not mounted."""
    internal = output_producers(pipeline)
    return [
        variable.name
        for variable in pipeline.spec.vars
        if variable.name not in internal and variable.mount_from is None
    ]


def inherited_variables(previous: ExperimentPipeline, following: ExperimentPipeline) -> dict[str, str]:
    """The variable of `previous` for each inherited variable of `following`: as mapped, else of the same name."""
    mapping = previous.spec.continue_with.vars if previous.spec.continue_with else {}
    declared = {variable.name for variable in previous.spec.vars}
    sources = ((name, mapping.get(name, name)) for name in external_variables(following))
    return {name: source for name, source in sources if source in declared}


def producing_pipeline(chain: Sequence[ExperimentPipeline], variable: str) -> int | None:
    """The index in the chain of the last pipeline that writes the variable."""
    return next((index for index in reversed(range(len(chain))) if variable in output_producers(chain[index])), None)
