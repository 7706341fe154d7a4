"""MLComponent: a synchronous function behind HTTP."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from libs.common.manifests.container import (
    EnvFrom,
    EnvVar,
    ImageSource,
    Resources,
    Security,
    repeated,
    repeated_variables,
)
from libs.common.manifests.fields import (
    Count,
    Duration,
    Form,
    Function,
    Header,
    Name,
    NamedOrBare,
    Port,
    Positive,
    RelativePath,
    Section,
    exactly_one,
)
from libs.common.manifests.problems import Finding

ModelPath = Annotated[RelativePath, Form(r"[^/]+/.*", "must be <group>/<file>, or <group>/ for a whole group")]
Interpreter = Annotated[str, Form(r"[^\s\x00]+", "must be the name or path of a Python interpreter in the image")]
Request = dict[str, JsonValue]
CALLS_OF_AN_APP = 100
OF_A_FUNCTION = ("loader", "batching", "warmup")


def listed(value: object) -> object:
    return [value] if isinstance(value, dict) else value


class Batching(Section):
    max_size: Positive
    max_delay_ms: Annotated[float, Field(ge=0)]


class MLService(Section):
    inference: Function | None = None
    app: Function | None = None
    model_box: Name | None = None
    model_path: ModelPath | None = None
    model_update: Literal["manual", "auto"] = "manual"
    loader: Function | None = None
    batching: Batching | None = None
    concurrency: Annotated[Positive, Field(le=1000)] | None = None
    timeout: Duration = 30.0
    warmup: Annotated[tuple[Request, ...], BeforeValidator(listed, json_schema_input_type=Request | list[Request])] = ()
    python: Interpreter = "python3"
    package_registry_name: str | None = None

    @model_validator(mode="after")
    def serves_one_thing(self) -> Self:
        exactly_one(self, "inference", "app")
        return self

    @property
    def calls_at_once(self) -> int:
        """In one container; a web application divides its time itself."""
        return self.concurrency or (CALLS_OF_AN_APP if self.app else 1)


class Scaling(Section):
    min: Count = 1
    max: Annotated[Positive, Field(le=16)] = 1
    target_concurrency: Positive | None = None
    idle_timeout: Duration | None = None

    @model_validator(mode="after")
    def min_is_not_above_max(self) -> Self:
        if self.min > self.max:
            raise ValueError(f'"min" ({self.min}) is above "max" ({self.max}); raise "max"')
        return self


class MLComponentSpec(Section):
    image: ImageSource
    service_port: Port = 8002
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    connected_boxes: tuple[NamedOrBare, ...] = ()
    ml_service: MLService
    resources: Resources = Resources()
    scaling: Scaling = Scaling()
    start_timeout: Duration = 120.0
    security: Security = Security()


class MLComponent(Header):
    kind: Literal["MLComponent"]
    spec: MLComponentSpec

    def findings(self) -> Iterator[Finding]:
        service = self.spec.ml_service
        path = ("spec", "mlService")
        if service.model_box and not service.model_path:
            yield Finding((*path, "modelBox"), '"modelBox" needs "modelPath", the model\'s <group>/<file> in that box')
        if service.model_path and not service.model_box:
            yield Finding((*path, "modelPath"), '"modelPath" needs "modelBox", the box that the model is in')
        for name in OF_A_FUNCTION if service.app else ():
            if getattr(service, name):
                yield Finding((*path, name), f'"{name}" belongs to "inference", a function; "app" does this itself')
        if service.package_registry_name is not None:
            where = (*path, "packageRegistryName")
            yield Finding(where, '"packageRegistryName" is not needed here; it may be removed', "warning")
        yield from repeated_variables(self.spec.env, "spec")
        yield from repeated([box.name for box in self.spec.connected_boxes], ("spec", "connectedBoxes"))
