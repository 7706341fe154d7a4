"""ExperimentPipeline: containers that run asynchronously as a graph of stages."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from libs.common.manifests import variables
from libs.common.manifests.container import (
    EnvFrom,
    EnvVar,
    ImageSource,
    Resources,
    Security,
    check_unique_names,
    check_unique_variables,
)
from libs.common.manifests.fields import (
    Count,
    Duration,
    Flag,
    Header,
    Name,
    NotEmpty,
    Reference,
    ReferenceOrName,
    RelativePath,
    Section,
    Word,
)
from libs.common.manifests.problems import Finding
from libs.common.manifests.schedule import Schedule


def split_entry_point(value: object) -> object:
    """The words of a command as a POSIX shell splits them, without expansion."""
    if not isinstance(value, str):
        return value
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ValueError(
            f'"entryPoint" cannot be split into words: {error}; use a list'.replace("No ", "no ")
        ) from error


MAX_STAGES: Final = 1000


EntryPoint = Annotated[
    tuple[str, ...], NotEmpty(), BeforeValidator(split_entry_point, json_schema_input_type=str | list[str])
]


class MountFrom(Section):
    box: Name
    path: RelativePath


class Variable(Section):
    name: Word
    mount_from: MountFrom | None = None


class VariableName(Section):
    name: Word


class Retries(Section):
    """Further attempts after a failure for one of the reasons; the n-th waits `backoff * factor ** (n - 1)` seconds."""

    limit: Annotated[Count, Field(le=100)] = 0
    backoff: Duration = 10.0
    factor: Annotated[float, Field(ge=1, le=100, strict=True)] = 2.0
    reasons: tuple[Literal["error", "oom", "timeout", "lost"], ...] = ("error", "oom", "timeout", "lost")


class Stage(Section):
    name: Word
    image: ImageSource
    inputs: tuple[VariableName, ...] = ()
    outputs: tuple[VariableName, ...] = ()
    entry_point: EntryPoint | None = None
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    resources: Resources = Resources()
    timeout: Duration = 3600.0
    retries: Retries = Retries()
    cache: Flag = False
    security: Security = Security()


class ContinueWith(Section):
    experiment_pipeline: Reference
    vars: Mapping[str, str] = {}


def parse_continue_with(value: object) -> object:
    return {"experimentPipeline": {"name": value}} if isinstance(value, str) else value


class ExperimentPipelineSpec(Section):
    vars: tuple[Variable, ...]
    stages: Annotated[tuple[Stage, ...], NotEmpty()]
    connected_boxes: tuple[ReferenceOrName, ...] = ()
    continue_with: Annotated[
        ContinueWith | None, BeforeValidator(parse_continue_with, json_schema_input_type=ContinueWith | str | None)
    ] = None
    timeout: Duration = 86400.0
    schedule: Schedule | None = None


class ExperimentPipeline(Header):
    kind: Literal["ExperimentPipeline"]
    spec: ExperimentPipelineSpec

    def list_findings(self) -> Iterator[Finding]:
        if len(self.spec.stages) > MAX_STAGES:
            sentence = f'"stages" has {len(self.spec.stages)}, at most {MAX_STAGES} are possible; split the pipeline'
            yield Finding(("spec", "stages"), sentence)
            return
        yield from check_unique_names([box.name for box in self.spec.connected_boxes], ("spec", "connectedBoxes"))
        for index, stage in enumerate(self.spec.stages):
            yield from check_unique_variables(stage.env, "spec", "stages", index)
        yield from variables.list_findings(self.spec.vars, self.spec.stages)
