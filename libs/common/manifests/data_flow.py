"""Pipelines that continue one another, and the variables that each hands on to the next. Pure."""

from collections.abc import Mapping, Sequence

from libs.common.manifests.experimentpipeline import ExperimentPipeline
from libs.common.memoize import kept

Pipelines = Mapping[str, ExperimentPipeline]


def following(pipelines: Pipelines, first: str) -> tuple[ExperimentPipeline, ...]:
    """`first` and those that continue it, in order; it ends before one that is missing or was there already."""
    found: dict[str, ExperimentPipeline] = {}
    name: str | None = first
    while name is not None and name in pipelines and name not in found:
        found[name] = pipelines[name]
        name = follower(pipelines[name])
    return tuple(found.values())


def follower(pipeline: ExperimentPipeline) -> str | None:
    following = pipeline.spec.continue_with
    return following.experiment_pipeline.name if following else None


@kept
def written(pipeline: ExperimentPipeline) -> dict[str, str]:
    """Variable → the stage that writes it."""
    return {variable.name: stage.name for stage in pipeline.spec.stages for variable in stage.outputs}


@kept
def open_variables(pipeline: ExperimentPipeline) -> list[str]:
    """Those that come from outside: no stage writes them, and they are not mounted."""
    inside = written(pipeline)
    return [one.name for one in pipeline.spec.vars if one.name not in inside and one.mount_from is None]


def handed(before: ExperimentPipeline, after: ExperimentPipeline) -> dict[str, str]:
    """Variable of `after` → the variable of `before` that it is: as mapped, else the one of the same name."""
    mapped = before.spec.continue_with.vars if before.spec.continue_with else {}
    known = {variable.name for variable in before.spec.vars}
    wanted = ((name, mapped.get(name, name)) for name in open_variables(after))
    return {theirs: ours for theirs, ours in wanted if ours in known}


def producer(chain: Sequence[ExperimentPipeline], variable: str) -> int | None:
    """The place in the chain of the last pipeline that writes the variable."""
    return next((place for place in reversed(range(len(chain))) if variable in written(chain[place])), None)
