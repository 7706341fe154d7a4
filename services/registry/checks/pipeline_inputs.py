"""Rules about who gives a pipeline its variables: a caller, a stage, a mount, or the pipeline before it. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from libs.common.manifests import APIComponent, ExperimentPipeline, Manifest, Problem
from libs.common.manifests.apicomponent import ApiSpec
from libs.common.manifests.data_flow import Pipelines, following, handed, open_variables, written
from libs.common.manifests.fields import Header
from libs.common.manifests.messages import alike
from libs.common.manifests.problems import Path

Chain = Sequence[ExperimentPipeline]


@dataclass(frozen=True, slots=True)
class Starter:
    """What starts a chain of pipelines: how it is called, and the variables that it names."""

    title: str
    given: frozenset[str]
    chain: Chain

    def gives(self, place: int, variable: str) -> bool:
        """Whether the pipeline at this place of the chain gets the variable."""
        return variable in self.given or (place > 0 and variable in handed(self.chain[place - 1], self.chain[place]))


Starters = Mapping[str, Sequence[tuple[Starter, int]]]
"""Of each pipeline, with its place in their chains."""


def pipelines(manifests: Sequence[Manifest[Header]]) -> Pipelines:
    return {one.name: one.body for one in manifests if isinstance(one.body, ExperimentPipeline)}


def by_pipeline(starters: Iterable[Starter]) -> Starters:
    found: dict[str, list[tuple[Starter, int]]] = {}
    for starter in starters:
        for place, pipeline in enumerate(starter.chain):
            found.setdefault(pipeline.metadata.name, []).append((starter, place))
    return found


def starters(manifests: Sequence[Manifest[Header]], known: Pipelines) -> Iterator[Starter]:
    for name, pipeline in known.items():
        if pipeline.spec.schedule is not None:
            given = frozenset(pipeline.spec.schedule.inputs) | optional(manifests, name)
            yield Starter(f'spec.schedule.inputs of ExperimentPipeline "{name}"', given, following(known, name))
    for one in manifests:
        if isinstance(one.body, APIComponent) and (target := one.body.spec.experiment_pipeline):
            named = one.body.spec.api_spec.inputs if one.body.spec.api_spec else ()
            names = frozenset(item.name for item in named)
            title = f'spec.apiSpec.inputs of APIComponent "{one.name}"'
            yield Starter(title, names, following(known, target.name))


def optional(manifests: Sequence[Manifest[Header]], pipeline: str) -> frozenset[str]:
    """Inputs of the pipeline that its callers may leave out."""
    apis = (one.body.spec for one in manifests if isinstance(one.body, APIComponent))
    of_it = (api for api in apis if api.experiment_pipeline and api.experiment_pipeline.name == pipeline)
    return frozenset(item.name for api in of_it if api.api_spec for item in api.api_spec.inputs if not item.required)


def scheduled(chain: Chain, manifest: Manifest[Header], body: ExperimentPipeline) -> Iterator[Problem]:
    """What a schedule gives, a pipeline of the chain takes; nothing is said of a chain that is not known."""
    for name in body.spec.schedule.inputs if body.spec.schedule and chain else ():
        path = ("spec", "schedule", "inputs", name)
        if not any(name == variable.name for one in chain for variable in one.spec.vars):
            yield manifest.problem(path, undeclared(name, chain))
        elif not any(name in open_variables(one) for one in chain):
            yield manifest.problem(
                path, f'"{name}" is written by a stage or mounted and cannot be given; remove it here'
            )


def unproduced(starters: Starters, manifest: Manifest[Header], body: ExperimentPipeline) -> Iterator[Problem]:
    """Inputs that a stage would wait for in vain, however the pipeline is started."""
    found = starters.get(body.metadata.name, ())
    for path, stage, name in sourceless(body):
        for one, place in found:
            if not one.gives(place, name):
                sentence = (
                    f'nothing gives stage "{stage}" its input "{name}"; add it to {one.title}, or make it an output of '
                    f'a stage, or give it "mountFrom"'
                )
                yield manifest.problem(path, sentence)
        if not found:
            sentence = (
                f'nothing gives stage "{stage}" its input "{name}"; name it in spec.apiSpec.inputs of an APIComponent '
                f'for this pipeline (there is none), or make it an output of a stage, or give it "mountFrom"'
            )
            yield manifest.problem(path, sentence)


def sourceless(body: ExperimentPipeline) -> Iterator[tuple[Path, str, str]]:
    """Inputs of stages, each variable once, that no stage writes and that are not mounted: path, stage, variable."""
    wanted = set(open_variables(body))
    for index, stage in enumerate(body.spec.stages):
        for position, variable in enumerate(stage.inputs):
            if variable.name in wanted:
                wanted.remove(variable.name)
                yield ("spec", "stages", index, "inputs", position, "name"), stage.name, variable.name


def interface(manifest: Manifest[Header], api: ApiSpec, chain: Chain) -> Iterator[Problem]:
    """The inputs and outputs that a caller names, against the variables of the pipelines."""
    for index, name in enumerate(item.name for item in api.inputs):
        path: Path = ("spec", "apiSpec", "inputs", index, "name")
        first = next((one for one in chain if any(name == variable.name for variable in one.spec.vars)), None)
        if first is None:
            yield manifest.problem(path, undeclared(name, chain))
        elif any(name in open_variables(one) for one in chain):
            continue
        elif name in written(first):
            stage = written(first)[name]
            yield manifest.problem(
                path, f'"{name}" is an output of stage "{stage}", a caller cannot give it; remove it'
            )
        else:
            yield manifest.problem(path, f'"{name}" has "mountFrom", a caller cannot give it; remove one of the two')
    for index, name in enumerate(item.name for item in api.outputs):
        path = ("spec", "apiSpec", "outputs", index, "name")
        if not any(name == variable.name for one in chain for variable in one.spec.vars):
            yield manifest.problem(path, undeclared(name, chain))
        elif not any(name in written(one) for one in chain):
            yield manifest.problem(path, f'no stage has "{name}" as an output; add it to one, or remove it here')


def undeclared(name: str, chain: Chain) -> str:
    guess = alike(name, tuple(variable.name for one in chain for variable in one.spec.vars))
    advice = f'did you mean "{guess}"?' if guess else "add it there, or correct it"
    return f'ExperimentPipeline "{chain[0].metadata.name}" has no variable "{name}"; {advice}'


def continued(known: Pipelines, manifest: Manifest[Header], body: ExperimentPipeline) -> Iterator[Problem]:
    """What a pipeline hands on exists on both sides, and the chain comes to an end."""
    after = body.spec.continue_with
    if after is None or after.experiment_pipeline.name not in known:
        return
    chain = following(known, body.metadata.name)
    names = [one.metadata.name for one in chain]
    last = chain[-1].spec.continue_with
    if last is not None and last.experiment_pipeline.name == body.metadata.name:
        way = " → ".join([*names, names[0]])
        sentence = f"pipelines continue each other in a circle: {way}; remove one continueWith"
        yield manifest.problem(("spec", "continueWith"), sentence)
        return
    yield from mapped(manifest, body, chain[1])


def mapped(manifest: Manifest[Header], body: ExperimentPipeline, after: ExperimentPipeline) -> Iterator[Problem]:
    ours = tuple(variable.name for variable in body.spec.vars)
    theirs = tuple(variable.name for variable in after.spec.vars)
    for name, source in (body.spec.continue_with.vars if body.spec.continue_with else {}).items():
        path = ("spec", "continueWith", "vars", name)
        if name not in theirs:
            yield manifest.problem(path, undeclared(name, [after]))
        elif name not in open_variables(after):
            why = f'"{name}" of "{after.metadata.name}" is written by a stage or mounted there and cannot be given'
            yield manifest.problem(path, f"{why}; remove it here")
        if source not in ours:
            yield manifest.problem(path, undeclared(source, [body]))
