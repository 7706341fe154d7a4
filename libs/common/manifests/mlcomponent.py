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
    check_unique_names,
    check_unique_variables,
)
from libs.common.manifests.fields import (
    Count,
    Duration,
    Function,
    Header,
    Name,
    Pattern,
    Port,
    Positive,
    ReferenceOrName,
    RelativePath,
    Section,
    require_exactly_one,
)
from libs.common.manifests.problems import Finding

ModelPath = Annotated[RelativePath, Pattern(r"[^/]+/.*", "must be <group>/<file>, or <group>/ for a whole group")]
Interpreter = Annotated[str, Pattern(r"[^\s\x00]+", "must be the name or path of a Python interpreter in the image")]
Request = dict[str, JsonValue]
WEB_APP_CONCURRENCY = 100
FUNCTION_FIELDS = ("loader", "batching", "warmup")


def wrap_in_list(value: object) -> object:
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
    warmup: Annotated[
        tuple[Request, ...], BeforeValidator(wrap_in_list, json_schema_input_type=Request | list[Request])
    ] = ()
    python: Interpreter = "python3"
    package_registry_name: str | None = None

    @model_validator(mode="after")
    def check_single_entry(self) -> Self:
        require_exactly_one(self, "inference", "app")
        return self

    @property
    def container_concurrency(self) -> int:
        """Concurrent calls per container; a web application schedules its calls itself."""
        return self.concurrency or (WEB_APP_CONCURRENCY if self.app else 1)


class Scaling(Section):
    min: Count = 1
    max: Annotated[Positive, Field(le=16)] = 1
    target_concurrency: Positive | None = None
    idle_timeout: Duration | None = None

    @model_validator(mode="after")
    def check_bounds(self) -> Self:
        if self.min > self.max:
            raise ValueError(f'"min" ({self.min}) is above "max" ({self.max}); raise "max"')
        return self


class MLComponentSpec(Section):
    image: ImageSource
    service_port: Port = 8002
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    connected_boxes: tuple[ReferenceOrName, ...] = ()
    ml_service: MLService
    resources: Resources = Resources()
    scaling: Scaling = Scaling()
    start_timeout: Duration = 120.0
    security: Security = Security()


class MLComponent(Header):
    kind: Literal["MLComponent"]
    spec: MLComponentSpec

    def list_findings(self) -> Iterator[Finding]:
        service = self.spec.ml_service
        path = ("spec", "mlService")
        if service.model_box and not service.model_path:
            yield Finding((*path, "modelBox"), '"modelBox" needs "modelPath", the model\'s <group>/<file> in that box')
        if service.model_path and not service.model_box:
            yield Finding((*path, "modelPath"), '"modelPath" needs "modelBox", the box that the model is in')
        for name in FUNCTION_FIELDS if service.app else ():
            if getattr(service, name):
                yield Finding((*path, name), f'"{name}" belongs to "inference", a function; "app" does this itself')
        if service.package_registry_name is not None:
            where = (*path, "packageRegistryName")
            yield Finding(where, '"packageRegistryName" is not needed here; it may be removed', "warning")
        yield from check_unique_variables(self.spec.env, "spec")
        yield from check_unique_names([box.name for box in self.spec.connected_boxes], ("spec", "connectedBoxes"))
