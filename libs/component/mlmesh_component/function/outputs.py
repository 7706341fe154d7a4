"""Builds the output items of a call from what the function returned, and checks them against the schema."""

from __future__ import annotations

import dataclasses
import enum
import operator
import os
from collections.abc import Mapping
from typing import Any

from ..problems import Invalid, WrongOutput
from .item_builder import MissingValue, build_item
from .items import DATATYPES, Item, ItemError, find_fault
from .schema import Field, Schema, unknown_output_error

_ELEMENT = {"str": str, "dict": dict}


def build_outputs(result: Any, schema: Schema) -> list[Item]:
    """Build the output items; raises `WrongOutput` with the output that does not fit the schema.

    Optional outputs that are None are omitted.
    """
    if isinstance(result, (list, tuple)) and not hasattr(result, "_fields"):
        items = [_check_returned_item(index, item, schema) for index, item in enumerate(result)]
        _check_unique_names([item["name"] for item in result])
    else:
        items = [_build_output(name, value, schema) for name, value in _get_named_values(result, schema).items()]
    return [item for item in items if item is not None]


def _build_output(name: Any, value: Any, schema: Schema) -> Item | None:
    if isinstance(name, enum.Enum):
        name = name.value
    if not isinstance(name, str):
        raise WrongOutput(f"The function returned a dict with the key {name!r}; names of outputs are strings.")
    if not name:
        raise WrongOutput("The function returned a dict with the key ''; names of outputs are not empty.")
    field = schema.get_output(name)
    try:
        item = build_item(name, value, _declared_datatypes(field))
    except MissingValue:
        _check_optional(name, field)
        return None
    except ItemError as error:
        raise _output_error(name, error) from error
    if not field.name and field.type.datatypes and item["data"] == []:
        return {
            **item,
            "datatype": next((datatype for datatype in field.type.datatypes if datatype != "FILE"), item["datatype"]),
        }
    return _check_datatype(item, field)


def _declared_datatypes(field: Field) -> tuple[str, ...]:
    """The declared datatypes; none for outputs that are not declared by name."""
    return field.type.datatypes if field.name else ()


def _check_optional(name: str, field: Field) -> None:
    if field.required:
        written = f"`:type outputs.{name}: {' or '.join(field.type.datatypes) or 'str'}, optional`"
        raise WrongOutput(
            f"The function's output {name!r} is None, but it is not optional: say {written} in the docstring, "
            "or Optional in the TypedDict, dataclass or model that the function is annotated to return."
        )


def _check_datatype(item: Item, field: Field) -> Item:
    declared = _declared_datatypes(field)
    if declared and item["datatype"] not in declared:
        wrong = f"its datatype is {item['datatype']!r}, but {' or '.join(declared)} is declared"
        raise _output_error(item["name"], wrong)
    return item


def _get_named_values(result: Any, schema: Schema) -> Mapping[Any, Any]:
    if isinstance(result, Mapping):
        return result
    if isinstance(result, tuple):
        return {name: getattr(result, name) for name in getattr(result, "_fields", ())}
    if result is None and schema.outputs and not any(field.required for field in schema.outputs):
        return {}
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    if hasattr(result, "model_dump"):
        return {name: getattr(result, name) for name in type(result).model_fields}
    raise WrongOutput(
        f"The function returned {type(result).__name__}, not a list of items or a dict of values by name."
    )


def _check_returned_item(index: int, item: Any, schema: Schema) -> Item | None:
    """Check an item that the function has built itself."""
    if not isinstance(item, dict):
        raise WrongOutput(f"The function's output {index} is {type(item).__name__}, not an item.")
    for key in ("name", "datatype"):
        if not isinstance(item.get(key), str) or not item[key]:
            raise WrongOutput(f"The function's output {index} ({item.get('name')!r}) has no {key}.")
    if "data" not in item:
        raise WrongOutput(f"The function's output {index} ({item['name']!r}) has no data.")
    field = schema.get_output(item["name"])
    if item["data"] is None and field.name:
        _check_optional(field.name, field)
        return None
    return _check_datatype(_normalize_item(item), field)


def _check_unique_names(names: list[str]) -> None:
    if len(set(names)) == len(names):
        return
    twice = next(name for index, name in enumerate(names) if name in names[:index])
    raise WrongOutput(f"The function returned its output {twice!r} twice; give each output its own name.")


def _normalize_item(item: Item) -> Item:
    """Convert data as for values returned by name, if it is not well-formed; keep an existing shape."""
    if isinstance(item["data"], os.PathLike):
        item = {**item, "data": os.fspath(item["data"])}
    fault = _find_output_fault(item)
    if fault is None:
        return item
    try:
        rebuilt = build_item(item["name"], item["data"], (item["datatype"],))
    except ItemError as error:
        raise _output_error(item["name"], error) from error
    rebuilt = {**item, **rebuilt}
    if item.get("shape") is not None:
        rebuilt["shape"] = _normalize_shape(item["shape"])
    if rebuilt["datatype"] != item["datatype"] or (fault := _find_output_fault(rebuilt)):
        raise _output_error(item["name"], fault)
    return rebuilt


def _normalize_shape(shape: Any) -> Any:
    """Convert a tuple, or integers of array libraries, to a list of int."""
    try:
        return [operator.index(length) for length in shape]
    except TypeError:
        return shape


def _find_output_fault(item: Item) -> str | None:
    """Describe what is wrong with a returned item. Texts and objects may be single or in lists."""
    datatype, data = item["datatype"], item["data"]
    if datatype in _ELEMENT and isinstance(data, list):
        allowed_types = (_ELEMENT[datatype], type(None))
        return (
            None
            if all(isinstance(element, allowed_types) for element in data)
            else f"data must be {datatype}, or a list of {datatype}"
        )
    if data is None and datatype in DATATYPES:
        return None
    return find_fault(item, scalar=True)


def _output_error(name: str, reason: object) -> WrongOutput:
    return WrongOutput(f"The function's output {name!r} cannot be returned: {reason}.")


def select_outputs(items: list[Item], output_fields: tuple[str, ...], schema: Schema) -> list[Item]:
    """Select the requested outputs in that order; raises `Invalid` for one that does not exist.

    Raises `WrongOutput` if a declared output is requested and the function did not return it.
    """
    by_name = {item["name"]: item for item in items}
    declared = {field.name for field in schema.outputs}
    unknown = [name for name in output_fields if name not in by_name and name not in declared]
    if unknown and schema.default_output.required:
        raise Invalid([unknown_output_error(name) for name in unknown])
    for field in schema.outputs:
        if field.required and field.name not in by_name and (not output_fields or field.name in output_fields):
            raise WrongOutput(f"The function did not return its output {field.name!r}.")
    return [by_name[name] for name in output_fields if name in by_name] if output_fields else items
