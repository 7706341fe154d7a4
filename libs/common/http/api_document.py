"""OpenAPI documents: what FastAPI leaves out of them, and what all services add in the same way. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from libs.common.errors import PROBLEM_TYPE
from libs.common.http.response_shapes import Problem

Document = dict[str, Any]
"""A JSON document: OpenAPI, or a part of it."""
Responses = dict[int | str, Document]
"""The responses of a route as FastAPI takes them, by status."""
OPENAPI_VERSION = "3.1.0"
SCHEMA_PREFIX = "#/components/schemas/"
METHODS = ("get", "head", "post", "put", "patch", "delete")
EVENT_SCHEMA: Document = {
    "type": "object",
    "description": "One server-sent event.",
    "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
NO_BODY_STATUSES = ("204", "304")


def describe_type(described: Any) -> tuple[Document, dict[str, Document]]:
    """The JSON Schema of a type, a reference where it has a name; and the schemas that are referred to by name."""
    listed = TypeAdapter(list[described]).json_schema(mode="serialization", ref_template=f"{SCHEMA_PREFIX}{{model}}")
    return listed["items"], listed.get("$defs", {})


def describe_body(media_type: str, description: str, example: Any = None, schema: Document | None = None) -> Document:
    """The request body of a function that reads it itself."""
    media = {
        "schema": {"type": "string"} if schema is None else schema,
        **({} if example is None else {"example": example}),
    }
    return {"description": description, "required": True, "content": {media_type: media}}


def describe_text(description: str) -> Responses:
    """The responses of a function that streams plain text."""
    return {200: {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}}


def describe_events(description: str) -> Responses:
    """The responses of a function that streams server-sent events."""
    return {200: {"description": description, "content": {"text/event-stream": {"schema": EVENT_SCHEMA}}}}


def list_operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Document]]:
    """Method, path and operation."""
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def complete_document(document: Document) -> Document:
    """The document with problems, examples, and the path parameters that a function does not name. Changes it."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= describe_type(Problem)[1]
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which no service sends
        schemas.pop(name, None)
    for method, path, operation in list_operations(document):
        _add_path_parameters(operation, path)
        responses = operation["responses"]
        responses.pop("422", None)
        responses.setdefault("4XX", _describe_problem("The request is refused"))
        responses.setdefault("5XX", _describe_problem("It failed"))
        for status, response in responses.items():
            _complete_content(response.get("content", {}), schemas)
            if method == "head" or status in NO_BODY_STATUSES:
                response.pop("content", None)
        _complete_content(operation.get("requestBody", {}).get("content", {}), schemas)
    return document


def _add_path_parameters(operation: Document, path: str) -> None:
    parameters = operation.setdefault("parameters", [])
    described = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
    for name in re.findall(r"\{(\w+)\}", path):
        if name not in described:
            parameters.append({"name": name, "in": "path", "required": True, "schema": {"type": "string"}})


def _describe_problem(description: str) -> Document:
    schema = {"$ref": f"{SCHEMA_PREFIX}Problem"}
    return {"description": f"{description} (RFC 9457)", "content": {PROBLEM_TYPE: {"schema": schema}}}


def _complete_content(content: Document, schemas: Mapping[str, Any]) -> None:
    for media_type, media in content.items():
        if "$ref" in media.get("schema", {}):
            media["schema"] = {"$ref": media["schema"]["$ref"]}
        if media_type == "application/json" and "schema" in media:
            media.setdefault("example", build_example(media["schema"], schemas))


def build_example(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """A value of the schema: its own example, else one that is composed from those of its parts."""
    if "$ref" in schema:
        return build_example(schemas[schema["$ref"].removeprefix(SCHEMA_PREFIX)], schemas)
    for key in ("examples", "enum", "anyOf", "oneOf"):
        if key in schema:
            first = schema[key][0]
            return first if key in ("examples", "enum") else build_example(first, schemas)
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "object":
            return _build_object_example(schema, schemas)
        case "array" if "prefixItems" in schema:
            return [build_example(item, schemas) for item in schema["prefixItems"]]
        case "array":
            return [build_example(schema["items"], schemas)] if schema.get("items") else []
        case kind:
            return {"string": "text", "integer": 1, "number": 0.5, "boolean": False}.get(str(kind))


def _build_object_example(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Document:
    """With all required members, and those optional ones that have an example."""
    required = schema.get("required", ())
    members = {
        name: build_example(member, schemas)
        for name, member in schema.get("properties", {}).items()
        if name in required or "examples" in member
    }
    values = schema.get("additionalProperties")
    return members or ({"name": build_example(values, schemas)} if isinstance(values, Mapping) and values else {})


def select_schemas(document: Document) -> Document:
    """The document without schemas that nothing refers to. Changes it."""
    schemas = document["components"]["schemas"]
    used: set[str] = set()
    waiting = set(find_references(document["paths"]))
    while waiting:
        name = waiting.pop()
        used.add(name)
        waiting |= set(find_references(schemas[name])) - used
    document["components"]["schemas"] = {name: schemas[name] for name in sorted(used)}
    return document


def find_references(part: Any) -> Iterator[str]:
    """The names of the schemas that a part of a document refers to."""
    if isinstance(part, dict):
        reference = part.get("$ref")
        if isinstance(reference, str) and reference.startswith(SCHEMA_PREFIX):
            yield reference.removeprefix(SCHEMA_PREFIX)
        for value in part.values():
            yield from find_references(value)
    elif isinstance(part, list):
        for value in part:
            yield from find_references(value)
