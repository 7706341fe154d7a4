"""Field types that several kinds share.

The message of a `ValueError` that starts with "must" is prefixed with the field's name.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from libs.common.manifests import images, quantities
from libs.common.manifests.problems import Finding

API_VERSION: Final = "mlmesh/v1"
ORIGINAL_API_VERSION: Final = "unified-platform.cs.hse.ru/v1"


class Section(BaseModel):
    """A mapping in a manifest: frozen, camelCase in YAML, no unknown fields; an empty value counts as absent."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def drop_empty_values(cls, data: object) -> object:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


@dataclass(frozen=True)
class Pattern:
    """A regular expression that the complete text must match; `pattern` in JSON Schema."""

    pattern: str
    expected: str

    def matches(self, text: str) -> bool:
        return re.fullmatch(self.pattern, text, re.ASCII) is not None

    def check_text(self, text: str) -> str:
        if not self.matches(text):
            raise ValueError(self.expected)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check_text, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}


@dataclass(frozen=True)
class MinQuantity:
    """A minimum in the notation of quantities; JSON Schema has none for `512Mi`."""

    minimum: float
    text: str

    def check_minimum(self, value: Any) -> Any:
        if value < self.minimum:
            raise ValueError(f"must be at least {self.text}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check_minimum, handler(source))


@dataclass(frozen=True)
class NotEmpty:
    """At least one item, checked after all items: pydantic's own limit counts only the valid ones."""

    def check_not_empty(self, items: Any) -> Any:
        if not items:
            raise ValueError("needs at least 1 item")
        return items

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check_not_empty, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "minItems": 1}


LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
Name = Annotated[
    str, Pattern(LABEL, "must be at most 63 lower-case letters, digits and -, with a letter or digit at both ends")
]
UserName = Annotated[str, Pattern(r"[A-Za-z0-9._@-]{1,64}", "must be at most 64 letters, digits and . _ @ -")]
WORD: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})"
Word = Annotated[str, Pattern(WORD, "must be at most 63 letters, digits, - and _, and start with a letter or digit")]
FUNCTION: Final = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
Function = Annotated[str, Pattern(FUNCTION, "must be package.module:function")]
Image = Annotated[str, AfterValidator(images.check_image)]

Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[int, Field(strict=True, ge=1)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]

Size = Annotated[int, BeforeValidator(quantities.parse_size, json_schema_input_type=int | str)]
Cores = Annotated[
    float, BeforeValidator(quantities.parse_cores, json_schema_input_type=float | str), MinQuantity(0.001, "1m")
]
Duration = Annotated[
    float, BeforeValidator(quantities.parse_duration, json_schema_input_type=float | str), MinQuantity(0.001, "0.001s")
]


class Empty(Section):
    """`{}`: a field whose presence is its value."""


class Reference(Section):
    name: Name


def name_to_reference(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


ReferenceOrName = Annotated[Reference, BeforeValidator(name_to_reference, json_schema_input_type=Reference | str)]


class Metadata(Section):
    name: Name
    namespace: Name | None = None
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}


class Header(Section):
    """The fields of every kind."""

    rejected_fields: ClassVar[Mapping[str, str]] = {}  # messages for unsupported fields, at the top level or in spec

    api_version: Literal["mlmesh/v1", "unified-platform.cs.hse.ru/v1"]
    kind: str
    metadata: Metadata

    def list_findings(self) -> Iterator[Finding]:
        """Problems between the fields of this manifest, which pydantic has validated."""
        yield from ()


def check_relative_path(path: str) -> str:
    """A path in a box or in a repository: relative, without `.` and `..`, at most 1024 bytes."""
    parts = path.removesuffix("/").split("/")
    if len(path.encode()) > 1024 or any(part in ("", ".", "..") or not part.isprintable() for part in parts):
        raise ValueError('must be a relative path such as weights/model.onnx, without ".", ".." and empty parts')
    return path


def normalize_folder(path: str) -> str:
    """A folder of a repository in Git's notation: `manifests` for `./manifests/`, `.` for the root."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not path or path.startswith("/") or ".." in parts or len(path.encode()) > 1024 or not path.isprintable():
        raise ValueError('must be a folder in the repository such as manifests, or . for its root, without ".."')
    return "/".join(parts) or "."


RelativePath = Annotated[str, AfterValidator(check_relative_path)]
Folder = Annotated[str, AfterValidator(normalize_folder)]


def require_exactly_one(section: Section, *names: str) -> None:
    """`ValueError` unless exactly one of the fields (by their names in YAML) has a value."""
    present = [alias for alias in names if getattr(section, to_snake_case(alias)) is not None]
    choice = ", ".join(names[:-1]) + " or " + names[-1]
    if not present:
        raise ValueError(f"name one of {choice}")
    if len(present) > 1:
        raise ValueError(f"only one of {choice} is possible; remove {' or '.join(present)}")


def to_snake_case(alias: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), alias)
