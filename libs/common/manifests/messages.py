"""Converts a validation error of pydantic to a one-sentence message with advice."""

import difflib
from collections.abc import Iterator
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from libs.common.manifests.problems import Path

EXPECTED: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of fields",
    "model_type": "a mapping of fields",
    "model_attributes_type": "a mapping of fields",
}
PYTHON_DATATYPES: Final = {"int": "INT64", "float": "FP64", "bool": "BOOL"}
"""Datatypes under their names in Python; those of texts and objects have the same name there."""
LIMITS: Final = {
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be less than {lt:g}",
    "string_too_short": "must not be empty",
    "string_too_long": "must be at most {max_length} characters",
}
MISSING: Final = {
    "apiVersion": "write apiVersion: mlmesh/v1",
    "auth": "say who may call: basic, apiKey, or none: {} for everybody",
    "s3DefaultStorage": "write s3DefaultStorage: {}",
    "mlService": 'it names the function, as in mlService: {inference: "package.module:function"}',
    "image": "write image: {existingImageName: <image>}",
    "restfulApi": "it says who may call, and under which path",
}


MAX_CHOICES: Final = 100
"""No guess among more names: each comparison is slow."""


def error_message(error: ErrorDetails, model: type[BaseModel]) -> str:
    path, kind, context = error["loc"], error["type"], error.get("ctx", {})
    if kind == "missing":
        return missing_message(path)
    if kind == "extra_forbidden":
        return unknown_message(str(path[-1]), field_names_at(model, path[:-1]))
    if kind == "value_error":
        message = str(context["error"])
    elif kind == "literal_error":
        message = f"must be {context['expected'].replace(chr(39), '')}"
        actual = describe_error(path, message, error["input"])
        datatype = PYTHON_DATATYPES.get(error["input"]) if isinstance(error["input"], str) else None
        return f"{actual}; write {datatype}" if datatype and datatype in message else actual
    elif kind in EXPECTED:
        message = f"must be {EXPECTED[kind]}"
    else:
        message = LIMITS[kind].format(**context) if kind in LIMITS else error["msg"].replace("Input should", "must")
    return describe_error(path, message, error["input"])


def describe_error(path: Path, message: str, value: object) -> str:
    if not message.startswith(("must ", "needs ")):
        return message
    actual = f", not {describe_value(value)}" if message.startswith("must be") else ""
    quotes = "; put it in quotes" if message == "must be text" and isinstance(value, int | float | bool) else ""
    return f'"{path_label(path)}" {message}{actual}{quotes}'


def path_label(path: Path) -> str:
    """The last field of the path with its indexes: `env[0]`."""
    if not path:
        return "manifest"
    *parents, last = path
    return f"{path_label(tuple(parents))}[{last}]" if isinstance(last, int) else last


def describe_value(value: object) -> str:
    if isinstance(value, str):
        return f'"{value if len(value) <= 40 else value[:37] + "..."}"'
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict | BaseModel):
        return "a mapping"
    return "nothing" if value is None else str(value).lower()


def missing_message(path: Path) -> str:
    field = str(path[-1])
    where = f' in "{path_label(path[:-1])}"' if path[:-1] else ""
    advice = f"; {MISSING[field]}" if field in MISSING else ""
    return f'missing field "{field}"{where}{advice}'


def empty_message(path: Path) -> str:
    field = str(path[-1])
    return f'"{field}" has no value; {MISSING.get(field, "write one")}'


def unknown_message(name: str, fields: tuple[str, ...]) -> str:
    if guess := closest_name(name, fields):
        return f'unknown field "{name}"; did you mean "{guess}"?'
    return (
        f'unknown field "{name}"; the fields here are {", ".join(fields)}'
        if fields
        else f'unknown field "{name}"; remove it'
    )


def closest_name(name: str, choices: tuple[str, ...]) -> str | None:
    """The choice of which the name is probably a typo; `service_port` and `ServicePort` count as typos."""
    if len(choices) > MAX_CHOICES:
        return None
    folded = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower().replace("_", "").replace("-", ""), folded, n=1)
    return folded[close[0]] if close else None


def field_names_at(model: type[BaseModel], path: Path) -> tuple[str, ...]:
    """The fields of the mapping at the path, by their names in YAML."""
    current: type[BaseModel] | None = model
    for step in path:
        if current is not None and isinstance(step, str):
            fields = {field.alias or name: field.annotation for name, field in current.model_fields.items()}
            current = next(nested_models(fields.get(step)), None)
    return tuple(field.alias or name for name, field in current.model_fields.items()) if current else ()


def nested_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from nested_models(inner)
