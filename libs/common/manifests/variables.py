"""Checks variables against the stages of a pipeline."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Protocol

from libs.common.manifests import stage_graph
from libs.common.manifests.problems import Finding


class Variable(stage_graph.Variable, Protocol):
    @property
    def mount_from(self) -> object | None: ...


def list_findings(declared: Sequence[Variable], stages: Sequence[stage_graph.Stage]) -> Iterator[Finding]:
    local = [
        *check_unique_variables(declared),
        *check_unique_stages(stages),
        *check_declared(declared, stages),
        *check_single_producer(declared, stages),
    ]
    yield from local
    if not local:
        yield from check_cycles(stages)
        yield from check_unused(declared, stages)


def environment_name(variable: str) -> str:
    """The environment variable with the path of a pipeline's variable."""
    return "UNIP_PIPELINE_" + variable.upper().replace("-", "_")


def check_unique_variables(declared: Sequence[Variable]) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for index, variable in enumerate(declared):
        path = ("spec", "vars", index, "name")
        name = environment_name(variable.name)
        if name not in first:
            first[name] = variable.name
        elif first[name] == variable.name:
            yield Finding(path, f'variable "{variable.name}" is declared twice; remove one')
        else:
            yield Finding(path, f'variables "{first[name]}" and "{variable.name}" would both be {name}; rename one')


def check_unique_stages(stages: Sequence[stage_graph.Stage]) -> Iterator[Finding]:
    names = [stage.name for stage in stages]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Finding(("spec", "stages", index, "name"), f'two stages are called "{name}"; rename one')


def list_uses(
    stages: Sequence[stage_graph.Stage],
) -> Iterator[tuple[tuple[str | int, ...], stage_graph.Stage, str, str]]:
    """Every use of a variable by a stage: path, stage, `inputs` or `outputs`, name."""
    for index, stage in enumerate(stages):
        for side, listed in (("inputs", stage.inputs), ("outputs", stage.outputs)):
            for position, variable in enumerate(listed):
                yield ("spec", "stages", index, side, position, "name"), stage, side, variable.name


def check_declared(declared: Sequence[Variable], stages: Sequence[stage_graph.Stage]) -> Iterator[Finding]:
    names = [variable.name for variable in declared]
    seen: set[tuple[str, str, str]] = set()
    for path, stage, side, name in list_uses(stages):
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            advice = f'did you mean "{close[0]}"?' if close else 'add it to "vars"'
            yield Finding(path, f'unknown variable "{name}"; {advice}')
        elif (stage.name, side, name) in seen:
            yield Finding(path, f'stage "{stage.name}" has "{name}" in its {side} twice; remove one')
        seen.add((stage.name, side, name))


def check_single_producer(declared: Sequence[Variable], stages: Sequence[stage_graph.Stage]) -> Iterator[Finding]:
    mounted = {variable.name for variable in declared if variable.mount_from is not None}
    producers: dict[str, str] = {}
    for path, stage, side, name in list_uses(stages):
        if side == "inputs":
            continue
        if name in mounted:
            sentence = f'variable "{name}" has "mountFrom" and cannot be an output of a stage; remove one of the two'
            yield Finding(path, sentence)
        elif producers.setdefault(name, stage.name) != stage.name:
            sentence = f'variable "{name}" is already an output of stage "{producers[name]}"; use another variable here'
            yield Finding(path, sentence)


def check_cycles(stages: Sequence[stage_graph.Stage]) -> Iterator[Finding]:
    if cycle := stage_graph.find_cycle(stages):
        index = [stage.name for stage in stages].index(cycle[0])
        way = " → ".join([*cycle, cycle[0]])
        sentence = f"stages depend on each other in a cycle: {way}; remove an input of one of them"
        yield Finding(("spec", "stages", index, "name"), sentence)


def check_unused(declared: Sequence[Variable], stages: Sequence[stage_graph.Stage]) -> Iterator[Finding]:
    used = {name for _, _, _, name in list_uses(stages)}
    for index, variable in enumerate(declared):
        if variable.name not in used:
            sentence = f'no stage uses variable "{variable.name}"; remove it, or add it to a stage'
            yield Finding(("spec", "vars", index, "name"), sentence, "warning")
