"""Run plans: what a run does, fixed at its submission.

The JSON stands in the rows of runs: the release before and the one after read it, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, Self

from libs.common.locations import Location
from libs.common.protocol.container import ContainerResources, EnvSource
from libs.common.protocol.stage import CachePolicy

ValueSuffix = Literal[".json", ".txt"]


@dataclass(frozen=True)
class InputValue:
    """A value that the caller gave; the worker writes it into a file with this suffix."""

    value: Any
    suffix: ValueSuffix


InputSource = Location | InputValue
"""Where the content of a variable comes from."""


def source_to_json(source: InputSource) -> dict[str, Any]:
    if isinstance(source, InputValue):
        return {"value": source.value, "suffix": source.suffix}
    return source.to_json()


def source_from_json(document: Mapping[str, Any]) -> InputSource:
    if "value" in document:
        return InputValue(document["value"], document["suffix"])
    return Location(**document)


@dataclass(frozen=True)
class RetryPolicy:
    """Further attempts after a failure for one of the reasons; the n-th waits `backoff * factor ** (n - 1)` seconds."""

    limit: int
    backoff: float
    factor: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ComponentCall:
    """The call of an async prediction, without the grant that the claim adds."""

    path: str
    timeout: float


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """One stage: its container, what it reads and writes, and when it is tried again."""

    name: str
    retries: RetryPolicy
    image: str | None = None
    entry_point: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    env_from: tuple[EnvSource, ...] = ()
    """In the place of `secrets` when a ConfigMap is among the sources."""
    resources: ContainerResources = field(default_factory=ContainerResources)
    read_only_root: bool = False
    egress: Literal["internet", "none"] = "internet"
    image_credentials: str | None = None
    timeout: float
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    cache: bool = False
    call: ComponentCall | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        values = {name: document[name] for name in STAGE_FIELDS if name in document}
        for name in ("entry_point", "secrets", "inputs", "outputs"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        if "env_from" in values:
            values["env_from"] = tuple(EnvSource.model_validate(source) for source in values["env_from"])
        if "resources" in values:
            values["resources"] = ContainerResources.model_validate(values["resources"])
        if "call" in values:
            values["call"] = ComponentCall(**values["call"])
        retries = document["retries"]
        values["retries"] = RetryPolicy(**{**retries, "reasons": tuple(retries["reasons"])})
        return cls(**values)

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """Its JSON, made once for all runs of a pipeline; `env_from` and `call` only where they are set."""
        values = {name: getattr(self, name) for name in STAGE_FIELDS}
        del values["env_from"], values["call"]
        if self.env_from:
            values["env_from"] = [source.to_json() for source in self.env_from]
        if self.call is not None:
            values["call"] = vars(self.call)
        return {**values, "resources": self.resources.to_json(), "retries": vars(self.retries)}


STAGE_FIELDS = tuple(field.name for field in fields(StagePlan))


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """The stages of a run in the order of the manifest, and where their files come from and go to."""

    timeout: float
    """Seconds that the run may wait for its start, and that it may then take; of the whole chain in its first run."""
    stages: tuple[StagePlan, ...] = ()
    waits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The stages that each stage waits for."""
    commit: str = ""
    user: str = ""
    sources: Mapping[str, InputSource] = field(default_factory=dict)
    targets: Mapping[str, Location] = field(default_factory=dict)
    """The folders that outputs are published to."""
    outputs: tuple[str, ...] = ()
    """Variables of the API; of the whole chain in its first run."""
    cache: CachePolicy = "off"
    then: tuple[SuccessorPlan, ...] = ()
    """Plans of the runs that continue the first one of a chain."""

    @cached_property
    def producers(self) -> Mapping[str, str]:
        """The stage that writes each variable."""
        return {variable: stage.name for stage in self.stages for variable in stage.outputs}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        return cls(**cls._parse_fields(document))

    @classmethod
    def _parse_fields(cls, document: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "timeout": document["timeout"],
            "stages": tuple(StagePlan.from_json(stage) for stage in document["stages"]),
            "waits": {name: tuple(waits) for name, waits in document["waits"].items()},
            "commit": document["commit"],
            "user": document["user"],
            "sources": {name: source_from_json(source) for name, source in document["sources"].items()},
            "targets": {name: Location(**target) for name, target in document["targets"].items()},
            "outputs": tuple(document["outputs"]),
            "cache": document.get("cache", "off"),
            "then": tuple(SuccessorPlan.from_json(plan) for plan in document.get("then", ())),
        }

    def to_json(self) -> dict[str, Any]:
        document = {
            "timeout": self.timeout,
            "sources": {name: source_to_json(source) for name, source in self.sources.items()},
            "stages": [stage.document for stage in self.stages],
            "waits": self.waits,
            "commit": self.commit,
            "user": self.user,
            "targets": {name: target.to_json() for name, target in self.targets.items()},
            "outputs": self.outputs,
            "cache": self.cache,
        }
        return {**document, "then": [plan.to_json() for plan in self.then]} if self.then else document


@dataclass(frozen=True, kw_only=True)
class SuccessorPlan(RunPlan):
    """The plan of a run that continues another one."""

    pipeline: str
    inherited: Mapping[str, str]
    """The variable of the run before for each inherited variable."""
    first_pipeline: str
    """The pipeline with which the chain began."""

    @classmethod
    def from_plan(
        cls, plan: RunPlan, *, pipeline: str, inherited: Mapping[str, str], first_pipeline: str
    ) -> SuccessorPlan:
        shared = {field.name: getattr(plan, field.name) for field in fields(plan)}
        return cls(**shared, pipeline=pipeline, inherited=inherited, first_pipeline=first_pipeline)

    @classmethod
    def _parse_fields(cls, document: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **super()._parse_fields(document),
            "pipeline": document["pipeline"],
            "inherited": document["given"],
            "first_pipeline": document["began_with"],
        }

    def to_json(self) -> dict[str, Any]:
        chain_fields = {"pipeline": self.pipeline, "given": self.inherited, "began_with": self.first_pipeline}
        return {**super().to_json(), **chain_fields}


def parse_run_plan(document: Mapping[str, Any]) -> RunPlan:
    """The stored plan of a run."""
    return (SuccessorPlan if "began_with" in document else RunPlan).from_json(document)
