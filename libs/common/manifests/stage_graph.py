"""The graph of a pipeline's stages, from the variables that they read and write.

The order of the list decides only between stages that may run at the same time.
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
    """Each stage with the stages that it waits for."""
    producers = {variable.name: stage.name for stage in stages for variable in stage.outputs}
    return {
        stage.name: frozenset(producers[variable.name] for variable in stage.inputs if variable.name in producers)
        for stage in stages
    }


def sort_stages(stages: Sequence[Stage]) -> tuple[str, ...]:
    """An order in which every stage comes after those it waits for; `ValueError` when there is none."""
    return tuple(build_sorter(stages).static_order())


def find_cycle(stages: Sequence[Stage]) -> list[str] | None:
    """Stages of which each waits for the next, and the last for the first; `None` when there is no circle."""
    try:
        build_sorter(stages).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        around = found[:0:-1]  # graphlib names each before the one that waits for it, and the first one twice
        start = around.index(min(around, key=[stage.name for stage in stages].index))
        return around[start:] + around[:start]
    return None


def build_sorter(stages: Sequence[Stage]) -> TopologicalSorter[str]:
    """Fed in the order of the list, so that equal input gives an equal answer."""
    waits = stage_dependencies(stages)
    place = {stage.name: index for index, stage in enumerate(stages)}
    return TopologicalSorter({name: sorted(waits[name], key=place.__getitem__) for name in place})
