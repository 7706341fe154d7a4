"""The dependency graph of a pipeline's stages, derived from the variables that they read and write.

The order in the manifest matters only between independent stages.
"""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Protocol


class Variable(Protocol):
    @property
    def name(self) -> str: ...


class Stage(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> Iterable[Variable]: ...
    @property
    def outputs(self) -> Iterable[Variable]: ...


def stage_dependencies(stages: Sequence[Stage]) -> Mapping[str, frozenset[str]]:
    """The direct dependencies of each stage."""
    producers = {variable.name: stage.name for stage in stages for variable in stage.outputs}
    return {
        stage.name: frozenset(producers[variable.name] for variable in stage.inputs if variable.name in producers)
        for stage in stages
    }


def sort_stages(stages: Sequence[Stage]) -> tuple[str, ...]:
    """The stages in topological order; `ValueError` for a cycle."""
    return tuple(build_sorter(stages).static_order())


def find_cycle(stages: Sequence[Stage]) -> list[str] | None:
    """The stages of a cycle, each of which depends on the next, and the last on the first; `None` without a cycle."""
    try:
        build_sorter(stages).prepare()
    except CycleError as error:
        nodes: list[str] = error.args[1]
        cycle = nodes[:0:-1]  # graphlib lists each node before its dependents, and the first node twice
        start = cycle.index(min(cycle, key=[stage.name for stage in stages].index))
        return cycle[start:] + cycle[:start]
    return None


def build_sorter(stages: Sequence[Stage]) -> TopologicalSorter[str]:
    """A sorter with nodes in the order of the list, so that the result is deterministic."""
    dependencies = stage_dependencies(stages)
    position = {stage.name: index for index, stage in enumerate(stages)}
    return TopologicalSorter({name: sorted(dependencies[name], key=position.__getitem__) for name in position})
