"""APIComponent: publishes a component, a pipeline, files or pipelines as an API."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from libs.common.manifests.container import check_unique_names
from libs.common.manifests.fields import (
    Empty,
    Flag,
    Header,
    Name,
    NotEmpty,
    Pattern,
    Reference,
    Section,
    Word,
    require_exactly_one,
)
from libs.common.manifests.problems import Finding

RESERVED_PATHS: Final = ("files", "runs", "v2", "predict", "docs", "openapi.json")
AUTH_ADVICE: Final = "say who may call: basic, apiKey, or none: {} for everybody"
Segment = Annotated[
    str,
    Pattern(r"[a-z0-9][a-z0-9-]{0,62}|openapi\.json", "must be one URL segment of lower-case letters, digits and -"),
]

ALL_ORIGINS: Final = "*"
ORIGIN: Final = r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def check_origin(origin: str) -> str:
    """The origin unchanged. ValueError unless browsers send it in this form: origins are compared as text."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        raise ValueError("must be an origin with a host and a port that exist") from None
    if port is not None and port == DEFAULT_PORTS.get(parts.scheme):
        raise ValueError(f"must be without :{port}, which no browser sends")
    return origin


Origin = Annotated[
    str,
    Pattern(
        rf"\*|{ORIGIN}",
        'must be scheme://host or scheme://host:port, in lower case and without a path, or "*" for all origins',
    ),
    AfterValidator(check_origin),
]


class Basic(Section):
    credentials: Name


class Oidc(Section):
    issuer: str
    audience: str
    groups: tuple[str, ...] = ()
    username_claim: str = "preferred_username"


class Auth(Section):
    basic: Basic | None = None
    api_key: Empty | None = None
    oidc: Oidc | None = None
    none: Empty | None = None
    identity_pass_through: Flag = False

    @model_validator(mode="after")
    def check_auth_method(self) -> Self:
        closed = [name for name in ("basic", "api_key", "oidc") if getattr(self, name) is not None]
        if not closed and self.none is None:
            raise ValueError(f"nobody could call this; {AUTH_ADVICE}")
        if closed and self.none is not None:
            raise ValueError('"none" lets everybody in, whatever stands beside it; remove it, or the others')
        return self


class Cors(Section):
    origins: Annotated[tuple[Origin, ...], NotEmpty()]

    @model_validator(mode="after")
    def check_all_origins(self) -> Self:
        if ALL_ORIGINS in self.origins and len(self.origins) > 1:
            raise ValueError('"*" stands for all origins; remove it, or the others')
        return self


class RestfulApi(Section):
    path: Segment | None = None
    auth: Auth
    cors: Cors | None = None
    identity_pass_through: Flag = False

    @property
    def passes_identity(self) -> bool:
        return self.identity_pass_through or self.auth.identity_pass_through


Datatype = Literal["FILE", "FOLDER", "str", "dict", "FP32", "FP64", "INT32", "INT64", "BOOL"]


class InputType(Section):
    datatypes: Annotated[tuple[Datatype, ...], NotEmpty()]
    content_types: tuple[str, ...] = ()


class ApiInput(Section):
    name: Word
    description: str = ""
    required: Flag = True
    type: InputType


class ApiOutput(Section):
    name: Word
    description: str = ""


class ApiSpec(Section):
    inputs: tuple[ApiInput, ...] = ()
    outputs: tuple[ApiOutput, ...] = ()


class APIComponentSpec(Section):
    published: Flag = True
    ml_component: Reference | None = None
    experiment_pipeline: Reference | None = None
    files: Empty | None = None
    pipelines: Empty | None = None
    restful_api: RestfulApi
    api_spec: ApiSpec | None = None

    @model_validator(mode="after")
    def check_single_target(self) -> Self:
        require_exactly_one(self, "mlComponent", "experimentPipeline", "files", "pipelines")
        return self


class APIComponent(Header):
    kind: Literal["APIComponent"]
    spec: APIComponentSpec

    def list_findings(self) -> Iterator[Finding]:
        yield from self.check_path()
        if self.spec.experiment_pipeline and self.spec.api_spec is None:
            where = ("spec", "experimentPipeline")
            yield Finding(where, '"experimentPipeline" needs "apiSpec", the inputs and outputs that a caller names')
        if self.spec.api_spec is not None:
            yield from self.check_api_spec(self.spec.api_spec)

    def check_path(self) -> Iterator[Finding]:
        path = self.spec.restful_api.path
        if self.spec.files or self.spec.pipelines:
            if path is not None:
                sentence = '"path" is not used here: files and pipelines have routes of their own; it may be removed'
                yield Finding(("spec", "restfulApi", "path"), sentence, "warning")
        elif path is None:
            yield Finding(("spec", "restfulApi"), 'missing field "path" in "restfulApi"; it becomes a part of the URL')
        elif path in RESERVED_PATHS:
            sentence = f'path "{path}" is reserved ({", ".join(RESERVED_PATHS)}); choose another'
            yield Finding(("spec", "restfulApi", "path"), sentence)

    def check_api_spec(self, spec: ApiSpec) -> Iterator[Finding]:
        if self.spec.experiment_pipeline is None:
            yield Finding(("spec", "apiSpec"), '"apiSpec" belongs to "experimentPipeline"; remove it')
        yield from check_unique_names([item.name for item in spec.inputs], ("spec", "apiSpec", "inputs"))
        yield from check_unique_names([item.name for item in spec.outputs], ("spec", "apiSpec", "outputs"))
