"""The description of a component: OpenAPI 3.1 from its schema, with examples. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

from ..function.items import DATATYPES, FLOATS, TENSORS
from ..function.schema import DEFAULT_MODEL_KEY, Field, Kind, Schema
from ..settings import Settings

JsonObject = dict[str, Any]
DataSchema = Callable[[str, Kind], JsonObject]

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
    "429": "As many calls wait as may; try again after Retry-After.",
    "500": "The function raised, or what it returned cannot be answered.",
    "503": "The component is not ready or is being stopped; try again after Retry-After.",
    "504": "The function did not return in time.",
}


def document(settings: Settings, schema: Schema, *, yields: bool = False) -> JsonObject:
    """`yields`: the answer comes in pieces, each of the schema's form."""
    request, response = example_request(settings, schema), example_response(schema)
    operation = {
        "operationId": "predict",
        "summary": _summary(schema) or f"Predict with {settings.component}",
        "description": schema.description,
        "requestBody": {"required": bool(schema.required), "content": _content(_request_schema(schema), request)},
        "responses": {
            "200": _outputs(_response_schema(schema), response, yields),
            **{status: _problem(text) for status, text in _PROBLEMS.items()},
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
    """A request that fits: the first one of the warm-up, else one made from the schema."""
    if settings.warmup:
        return settings.warmup[0]
    return {"inputs": [_example_item(one) for one in schema.inputs if one.required or len(schema.inputs) == 1]}


def example_response(schema: Schema) -> Any:
    return {"outputs": [_example_item(one) for one in schema.outputs]}


def _summary(schema: Schema) -> str:
    return schema.description.partition("\n")[0]


def _example_item(one: Field) -> JsonObject:
    kind = one.kind.members[0] if one.kind.members else one.kind
    datatype = (kind.datatypes or ("str",))[0]
    data = kind.choices[0] if kind.choices else _FORMATS.get(kind.format, _EXAMPLES[datatype])
    if datatype in TENSORS or not kind.single:
        return {"name": one.name, "datatype": datatype, "data": [data], "shape": [1]}
    return {"name": one.name, "datatype": datatype, "data": data}


def _content(schema: JsonObject, example: Any) -> JsonObject:
    return {"application/json": {"schema": schema, "example": example}}


def _outputs(schema: JsonObject, example: Any, yields: bool) -> JsonObject:
    if not yields:
        return {"description": "The outputs.", "content": _content(schema, example)}
    described = "The outputs in pieces: each an event's data, or a line; last the event `end` or `error`."
    return {
        "description": described,
        "content": {"text/event-stream": {"schema": schema}, "application/x-ndjson": {"schema": schema}},
    }


def _request_schema(schema: Schema) -> JsonObject:
    fields: JsonObject = {
        "inputs": _items_schema(schema.inputs, schema.open, len(schema.required), _data_schema),
        "parameters": {"type": "array"},
        "output_fields": _output_fields_schema(schema),
        "model_key": {"const": DEFAULT_MODEL_KEY},
    }
    return {"type": "object", "required": ["inputs"] if schema.required else [], "properties": fields}


def _output_fields_schema(schema: Schema) -> JsonObject:
    names: JsonObject = {"type": "string"}
    if schema.outputs:
        names["enum"] = [one.name for one in schema.outputs]
    return {"type": "array", "items": names, "description": "Which outputs to answer, in this order; all without it."}


def _response_schema(schema: Schema) -> JsonObject:
    outputs = _items_schema(schema.outputs, not schema.outputs, 0, _answered_schema)
    return {"type": "object", "required": ["outputs"], "properties": {"outputs": outputs}}


def _items_schema(fields: Sequence[Field], is_open: bool, least: int, data: DataSchema) -> JsonObject:
    kinds = [_item_schema(one, data) for one in fields]
    if is_open:
        kinds.append(_any_item())
    if not kinds:
        return {"type": "array", "maxItems": 0}
    found: JsonObject = {"type": "array", "items": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}}
    return {**found, "minItems": least} if least else found


def _item_schema(one: Field, data: DataSchema) -> JsonObject:
    variants = [_variant(one, datatype, data(datatype, one.kind)) for datatype in one.kind.datatypes or DATATYPES]
    found = variants[0] if len(variants) == 1 else {"oneOf": variants}
    title = f"{one.name} (optional)" if not one.required else one.name
    return {"title": title, "description": one.description, **found}


def _any_item() -> JsonObject:
    return {
        "title": "any item",
        **_object({"name": {"type": "string"}, "datatype": {"enum": list(DATATYPES)}, "data": {}}),
    }


def _variant(one: Field, datatype: str, data: JsonObject) -> JsonObject:
    return _object({"name": {"const": one.name}, "datatype": {"const": datatype}, "data": data})


def _object(properties: JsonObject) -> JsonObject:
    more: JsonObject = {"shape": {"type": ["array", "integer", "null"]}, "content_type": {"type": "string"}}
    return {"type": "object", "required": ["name", "datatype", "data"], "properties": {**properties, **more}}


def _data_schema(datatype: str, kind: Kind) -> JsonObject:
    forms: list[JsonObject] = []
    for member in kind.members or (kind,):
        if datatype in (member.datatypes or DATATYPES):
            forms.extend(form for form in _data_forms(datatype, member) if form not in forms)
    if kind.nullable:
        forms.append({"type": "null"})
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _data_forms(datatype: str, kind: Kind) -> list[JsonObject]:
    """Elements of one form: a list of them, or one alone."""
    element = _element_schema(datatype, kind)
    tensor = datatype in TENSORS
    forms: list[JsonObject] = []
    if tensor or (kind.listed and datatype != "FILE"):
        forms.append({"type": "array", "items": element})
    if kind.scalar if tensor else kind.single:
        forms.append(element)
    return forms


def _element_schema(datatype: str, kind: Kind) -> JsonObject:
    found: JsonObject = {"type": _TYPES[datatype]}
    if kind.format and datatype == "str":
        found["format"] = kind.format
    return {**found, "enum": list(kind.choices)} if kind.choices else found


def _answered_schema(datatype: str, kind: Kind) -> JsonObject:
    """What `results` makes of values: numbers in lists, texts and objects alone or in lists."""
    element: JsonObject = {"type": _TYPES[datatype]}
    if datatype in FLOATS:
        element = {"type": ["number", "null"], "description": "null: not a number, infinite or missing"}
    if datatype in TENSORS:
        return {"type": "array", "items": element}
    several = {"type": "array", "items": {"type": [_TYPES[datatype], "null"]}}
    return element if datatype == "FILE" else {"oneOf": [element, several]}


def _problem(text: str) -> JsonObject:
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
