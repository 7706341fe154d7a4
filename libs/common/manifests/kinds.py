"""The registry of the eight kinds, with JSON Schemas and examples."""

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from libs.common.manifests.apicomponent import APIComponent
from libs.common.manifests.configmap import ConfigMap
from libs.common.manifests.databox import DataBox
from libs.common.manifests.experimentpipeline import ExperimentPipeline
from libs.common.manifests.fields import Header
from libs.common.manifests.mlcomponent import MLComponent
from libs.common.manifests.platformapp import PlatformApp
from libs.common.manifests.repository import Repository
from libs.common.manifests.secret import Secret

KINDS: Final[Mapping[str, type[Header]]] = MappingProxyType(
    {
        "APIComponent": APIComponent,
        "ConfigMap": ConfigMap,
        "DataBox": DataBox,
        "ExperimentPipeline": ExperimentPipeline,
        "MLComponent": MLComponent,
        "PlatformApp": PlatformApp,
        "Repository": Repository,
        "Secret": Secret,
    }
)


class EditorSchema(GenerateJsonSchema):
    """JSON Schema for editors: an optional field may be absent, but not null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        default = schema.get("default")
        if default is None or isinstance(default, BaseModel):
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema(kind: str) -> JsonSchemaValue:
    """JSON Schema 2020-12 of one kind; `KeyError` for an unknown one."""
    schema = KINDS[kind].model_json_schema(by_alias=True, schema_generator=EditorSchema, mode="validation")
    return {"$schema": EditorSchema.schema_dialect, **schema}


def read_example(kind: str) -> str:
    """The commented example manifest of a kind, with every field and default; `KeyError` for an unknown kind."""
    name = KINDS[kind].__name__.lower()
    return resources.files(__package__).joinpath("examples", f"{name}.yml").read_text(encoding="utf-8")
