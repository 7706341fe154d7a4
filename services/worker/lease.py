"""A lease: the scheduler's order to run one attempt of a task, and the fencing token that it is valid under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from libs.common.http.problem import validation_error
from libs.common.http.tolerant_list import describe_entry
from libs.common.protocol import claim
from libs.common.protocol.build import BuildSpec
from libs.common.protocol.container import ContainerFields
from libs.common.protocol.image import ImageSpec
from libs.common.protocol.instance import InstanceSpec
from libs.common.protocol.stage import StageSpec


class UnreadableSpec(ContainerFields):
    """Stands for a specification that this worker cannot read, so that its task alone fails."""

    image: str | None = None
    problem: str
    """What is wrong with it."""


TaskSpec = StageSpec | InstanceSpec | ImageSpec | BuildSpec | UnreadableSpec
SPECS: Mapping[str, type[StageSpec | InstanceSpec | ImageSpec | BuildSpec]] = {
    "stage": StageSpec,
    "instance": InstanceSpec,
    "image": ImageSpec,
    "build": BuildSpec,
}
"""The specification of each kind of task."""


@dataclass(frozen=True)
class Lease:
    task: str
    kind: str
    token: int
    attempt: int
    app: str
    commit: str
    spec: TaskSpec
    document: Mapping[str, object] = field(repr=False)
    """As the scheduler sent it: it is saved with the fields that only another release knows."""

    @classmethod
    def from_json(cls, value: object) -> Lease:
        """Raises ValueError for an invalid lease, which cannot be reported; its message names the task if it is known.

        An invalid specification raises nothing: `spec` says what is wrong with it.
        """
        try:
            lease = claim.Lease.model_validate(value)
        except ValidationError as error:
            problem = validation_error(error.errors()).detail
            raise ValueError(f"invalid lease: {describe_entry(value)}: {problem}") from error
        return cls(
            task=lease.task,
            kind=lease.kind,
            token=lease.token,
            attempt=lease.attempt,
            app=lease.app,
            commit=lease.commit,
            spec=read_spec(lease.kind, lease.spec),
            document=lease.to_json(),
        )

    @property
    def container_name(self) -> str:
        return f"mlmesh-{self.task}-{self.token}"

    @property
    def log_name(self) -> str:
        """The name under which databox keeps the log; empty: it has none."""
        return "" if isinstance(self.spec, ImageSpec) else self.spec.log

    @property
    def log_fields(self) -> Mapping[str, str | int]:
        """Fields of every log event about this lease."""
        return {"task": self.task, "kind": self.kind, "app": self.app, "attempt": self.attempt, "token": self.token}


def read_spec(kind: str, document: Mapping[str, object]) -> TaskSpec:
    """Read the specification of a task of this kind."""
    if kind not in SPECS:
        return UnreadableSpec(problem=f"this worker does not know tasks of the kind {kind!a}; upgrade it")
    try:
        return SPECS[kind].model_validate(document)
    except ValidationError as error:
        problem = validation_error(error.errors()).detail
        return UnreadableSpec(
            problem=f"this worker cannot read the specification of the {kind}: {problem}; "
            "upgrade the worker if its release is older than the scheduler's"
        )
