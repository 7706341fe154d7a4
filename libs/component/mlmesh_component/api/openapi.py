"""The OpenAPI 3.1 document of a component, built from its schema, with examples. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

from ..function.items import DATATYPES, FLOATS, TENSORS
from ..function.schema import DEFAULT_MODEL_KEY, Field, FieldType, Schema
from ..settings import Settings

JsonObject = dict[str, Any]
DataSchema = Callable[[str, FieldType], JsonObject]

_EXAMPLES: dict[str, Any] = {
    "FP32": 0.5,
    "FP64": 0.5,
    "INT32": 1,
    "INT64": 1,
    "BOOL": True,
    "str": "text",
    "dict": {},
    "FILE": "group/file.bin",
}
_TYPES = {
    "FP32": "number",
    "FP64": "number",
    "INT32": "integer",
    "INT64": "integer",
    "BOOL": "boolean",
    "str": "string",
    "dict": "object",
    "FILE": "string",
}
_FORMATS = {"date-time": "2026-01-31T12:00:00Z", "date": "2026-01-31", "time": "12:00:00", "byte": "AAECAw=="}
_PROBLEMS = {
    "400": "The body is not JSON.",
    "413": "The body is too large.",
    "422": "An input is missing, unknown or of the wrong type; `errors` names it.",
    "429": "Too many calls are waiting; try again after Retry-After.",
    "500": "The function raised, or its result cannot be returned.",
    "503": "The component is not ready or is being stopped; try again after Retry-After.",
    "504": "The function did not return in time.",
}


def build_document(settings: Settings, schema: Schema, *, yields: bool = False) -> JsonObject:
    """Build the document. `yields`: the response is a stream of pieces that each fit the schema."""
    request, response = example_request(settings, schema), example_response(schema)
    operation = {
        "operationId": "predict",
        "summary": _first_line(schema) or f"Predict with {settings.component}",
        "description": schema.description,
        "requestBody": {
            "required": bool(schema.required_inputs),
            "content": _json_content(_request_schema(schema), request),
        },
        "responses": {
            "200": _success_response(_response_schema(schema), response, yields),
            **{status: _problem_response(text) for status, text in _PROBLEMS.items()},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": settings.component, "version": "1", "description": schema.description},
        "servers": [{"url": "."}],
        "paths": {"/predict": {"post": operation}},
        "components": {"schemas": {"Problem": _PROBLEM}},
    }


def example_request(settings: Settings, schema: Schema) -> Any:
    """A valid request: the first warm-up request, otherwise one that is built from the schema."""
    if settings.warmup:
        return settings.warmup[0]
    return {"inputs": [_example_item(field) for field in schema.inputs if field.required or len(schema.inputs) == 1]}


def example_response(schema: Schema) -> Any:
    return {"outputs": [_example_item(field) for field in schema.outputs]}


def _first_line(schema: Schema) -> str:
    return schema.description.partition("\n")[0]


def _example_item(field: Field) -> JsonObject:
    field_type = field.type.members[0] if field.type.members else field.type
    datatype = (field_type.datatypes or ("str",))[0]
    data = field_type.choices[0] if field_type.choices else _FORMATS.get(field_type.format, _EXAMPLES[datatype])
    if datatype in TENSORS or not field_type.single:
        return {"name": field.name, "datatype": datatype, "data": [data], "shape": [1]}
    return {"name": field.name, "datatype": datatype, "data": data}


def _json_content(schema: JsonObject, example: Any) -> JsonObject:
    return {"application/json": {"schema": schema, "example": example}}


def _success_response(schema: JsonObject, example: Any, yields: bool) -> JsonObject:
    if not yields:
        return {"description": "The outputs.", "content": _json_content(schema, example)}
    description = "The outputs in pieces: each an event's data, or a line; last the event `end` or `error`."
    return {
        "description": description,
        "content": {"text/event-stream": {"schema": schema}, "application/x-ndjson": {"schema": schema}},
    }


def _request_schema(schema: Schema) -> JsonObject:
    fields: JsonObject = {
        "inputs": _items_schema(schema.inputs, schema.is_open, len(schema.required_inputs), _data_schema),
        "parameters": {"type": "array"},
        "output_fields": _output_fields_schema(schema),
        "model_key": {"const": DEFAULT_MODEL_KEY},
    }
    return {"type": "object", "required": ["inputs"] if schema.required_inputs else [], "properties": fields}


def _output_fields_schema(schema: Schema) -> JsonObject:
    names: JsonObject = {"type": "string"}
    if schema.outputs:
        names["enum"] = [field.name for field in schema.outputs]
    return {"type": "array", "items": names, "description": "Which outputs to answer, in this order; all without it."}


def _response_schema(schema: Schema) -> JsonObject:
    outputs = _items_schema(schema.outputs, not schema.outputs, 0, _output_data_schema)
    return {"type": "object", "required": ["outputs"], "properties": {"outputs": outputs}}


def _items_schema(fields: Sequence[Field], is_open: bool, minimum: int, data: DataSchema) -> JsonObject:
    item_schemas = [_item_schema(field, data) for field in fields]
    if is_open:
        item_schemas.append(_any_item())
    if not item_schemas:
        return {"type": "array", "maxItems": 0}
    items_schema: JsonObject = {
        "type": "array",
        "items": item_schemas[0] if len(item_schemas) == 1 else {"anyOf": item_schemas},
    }
    return {**items_schema, "minItems": minimum} if minimum else items_schema


def _item_schema(field: Field, data: DataSchema) -> JsonObject:
    variants = [
        _datatype_schema(field, datatype, data(datatype, field.type)) for datatype in field.type.datatypes or DATATYPES
    ]
    datatype_schema = variants[0] if len(variants) == 1 else {"oneOf": variants}
    title = f"{field.name} (optional)" if not field.required else field.name
    return {"title": title, "description": field.description, **datatype_schema}


def _any_item() -> JsonObject:
    return {
        "title": "any item",
        **_object_schema({"name": {"type": "string"}, "datatype": {"enum": list(DATATYPES)}, "data": {}}),
    }


def _datatype_schema(field: Field, datatype: str, data: JsonObject) -> JsonObject:
    return _object_schema({"name": {"const": field.name}, "datatype": {"const": datatype}, "data": data})


def _object_schema(properties: JsonObject) -> JsonObject:
    optional_members: JsonObject = {"shape": {"type": ["array", "integer", "null"]}, "content_type": {"type": "string"}}
    return {
        "type": "object",
        "required": ["name", "datatype", "data"],
        "properties": {**properties, **optional_members},
    }


def _data_schema(datatype: str, field_type: FieldType) -> JsonObject:
    schemas: list[JsonObject] = []
    for member in field_type.members or (field_type,):
        if datatype in (member.datatypes or DATATYPES):
            schemas.extend(form for form in _data_schemas(datatype, member) if form not in schemas)
    if field_type.nullable:
        schemas.append({"type": "null"})
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _data_schemas(datatype: str, field_type: FieldType) -> list[JsonObject]:
    """The schemas of a list of elements and of a single element, as far as the type accepts them."""
    element = _element_schema(datatype, field_type)
    tensor = datatype in TENSORS
    schemas: list[JsonObject] = []
    if tensor or (field_type.listed and datatype != "FILE"):
        schemas.append({"type": "array", "items": element})
    if field_type.scalar if tensor else field_type.single:
        schemas.append(element)
    return schemas


def _element_schema(datatype: str, field_type: FieldType) -> JsonObject:
    schema: JsonObject = {"type": _TYPES[datatype]}
    if field_type.format and datatype == "str":
        schema["format"] = field_type.format
    return {**schema, "enum": list(field_type.choices)} if field_type.choices else schema


def _output_data_schema(datatype: str, field_type: FieldType) -> JsonObject:
    """What `item_builder` produces: numbers in lists, texts and objects single or in lists."""
    element: JsonObject = {"type": _TYPES[datatype]}
    if datatype in FLOATS:
        element = {"type": ["number", "null"], "description": "null: not a number, infinite or missing"}
    if datatype in TENSORS:
        return {"type": "array", "items": element}
    list_schema = {"type": "array", "items": {"type": [_TYPES[datatype], "null"]}}
    return element if datatype == "FILE" else {"oneOf": [element, list_schema]}


def _problem_response(text: str) -> JsonObject:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": text, "content": content}


_PROBLEM: JsonObject = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"input": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "error": {"type": "string"},
        "error_id": {"type": "string"},
    },
}
