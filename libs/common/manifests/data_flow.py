"""Pipelines that continue one another, and the variables that each hands on to the next. Pure."""

from collections.abc import Mapping, Sequence

from libs.common.manifests.experimentpipeline import ExperimentPipeline
from libs.common.memoize import memoize_by_identity

Pipelines = Mapping[str, ExperimentPipeline]


def follow_chain(pipelines: Pipelines, first: str) -> tuple[ExperimentPipeline, ...]:
    """`first` and those that continue it, in order; it ends before one that is missing or was there already."""
    found: dict[str, ExperimentPipeline] = {}
    name: str | None = first
    while name is not None and name in pipelines and name not in found:
        found[name] = pipelines[name]
        name = next_pipeline_name(pipelines[name])
    return tuple(found.values())


def next_pipeline_name(pipeline: ExperimentPipeline) -> str | None:
    following = pipeline.spec.continue_with
    return following.experiment_pipeline.name if following else None


@memoize_by_identity
def output_producers(pipeline: ExperimentPipeline) -> dict[str, str]:
    """Variable → the stage that writes it."""
    return {variable.name: stage.name for stage in pipeline.spec.stages for variable in stage.outputs}


@memoize_by_identity
def external_variables(pipeline: ExperimentPipeline) -> list[str]:
    """Those that come from outside: no stage writes them, and they are not mounted."""
    inside = output_producers(pipeline)
    return [one.name for one in pipeline.spec.vars if one.name not in inside and one.mount_from is None]


def inherited_variables(before: ExperimentPipeline, after: ExperimentPipeline) -> dict[str, str]:
    """Variable of `after` → the variable of `before` that it is: as mapped, else the one of the same name."""
    mapped = before.spec.continue_with.vars if before.spec.continue_with else {}
    known = {variable.name for variable in before.spec.vars}
    wanted = ((name, mapped.get(name, name)) for name in external_variables(after))
    return {theirs: ours for theirs, ours in wanted if ours in known}


def producing_pipeline(chain: Sequence[ExperimentPipeline], variable: str) -> int | None:
    """The place in the chain of the last pipeline that writes the variable."""
    return next((place for place in reversed(range(len(chain))) if variable in output_producers(chain[place])), None)
