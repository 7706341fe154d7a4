"""What a function returned, as output items that fit its schema."""

from __future__ import annotations

import dataclasses
import enum
import operator
import os
from collections.abc import Mapping
from typing import Any

from ..problems import Invalid, WrongOutput
from .item_builder import NoValue, from_value
from .items import DATATYPES, Item, ItemError, fault
from .schema import Field, Schema, unknown_output

_ELEMENT = {"str": str, "dict": dict}


def outputs(result: Any, schema: Schema) -> list[Item]:
    """The output items of what the function returned; `WrongOutput` says which one is none, or does not fit.

    An optional output that is None is left out.
    """
    if isinstance(result, (list, tuple)) and not hasattr(result, "_fields"):
        made = [_own_item(index, item, schema) for index, item in enumerate(result)]
        _check_once([item["name"] for item in result])
    else:
        made = [_made(name, value, schema) for name, value in _named_values(result, schema).items()]
    return [item for item in made if item is not None]


def _made(name: Any, value: Any, schema: Schema) -> Item | None:
    if isinstance(name, enum.Enum):
        name = name.value
    if not isinstance(name, str):
        raise WrongOutput(f"The function returned a dict with the key {name!r}; names of outputs are strings.")
    if not name:
        raise WrongOutput("The function returned a dict with the key ''; names of outputs are not empty.")
    field = schema.output(name)
    try:
        item = from_value(name, value, _declared(field))
    except NoValue:
        _check_optional(name, field)
        return None
    except ItemError as error:
        raise _unanswerable(name, error) from error
    if not field.name and field.kind.datatypes and item["data"] == []:
        return {**item, "datatype": next((one for one in field.kind.datatypes if one != "FILE"), item["datatype"])}
    return _as_declared(item, field)


def _declared(field: Field) -> tuple[str, ...]:
    """Nothing is demanded of an output that is not known by name."""
    return field.kind.datatypes if field.name else ()


def _check_optional(name: str, field: Field) -> None:
    if field.required:
        written = f"`:type outputs.{name}: {' or '.join(field.kind.datatypes) or 'str'}, optional`"
        raise WrongOutput(
            f"The function's output {name!r} is None, but it is not optional: say {written} in the docstring, "
            "or Optional in the TypedDict, dataclass or model that the function is annotated to return."
        )


def _as_declared(item: Item, field: Field) -> Item:
    declared = _declared(field)
    if declared and item["datatype"] not in declared:
        wrong = f"its datatype is {item['datatype']!r}, but {' or '.join(declared)} is declared"
        raise _unanswerable(item["name"], wrong)
    return item


def _named_values(result: Any, schema: Schema) -> Mapping[Any, Any]:
    if isinstance(result, Mapping):
        return result
    if isinstance(result, tuple):
        return {name: getattr(result, name) for name in getattr(result, "_fields", ())}
    if result is None and schema.outputs and not any(one.required for one in schema.outputs):
        return {}
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return {one.name: getattr(result, one.name) for one in dataclasses.fields(result)}
    if hasattr(result, "model_dump"):
        return {name: getattr(result, name) for name in type(result).model_fields}
    raise WrongOutput(
        f"The function returned {type(result).__name__}, not a list of items or a dict of values by name."
    )


def _own_item(index: int, item: Any, schema: Schema) -> Item | None:
    """One that the function has made itself."""
    if not isinstance(item, dict):
        raise WrongOutput(f"The function's output {index} is {type(item).__name__}, not an item.")
    for key in ("name", "datatype"):
        if not isinstance(item.get(key), str) or not item[key]:
            raise WrongOutput(f"The function's output {index} ({item.get('name')!r}) has no {key}.")
    if "data" not in item:
        raise WrongOutput(f"The function's output {index} ({item['name']!r}) has no data.")
    field = schema.output(item["name"])
    if item["data"] is None and field.name:
        _check_optional(field.name, field)
        return None
    return _as_declared(_well_formed(item), field)


def _check_once(names: list[str]) -> None:
    if len(set(names)) == len(names):
        return
    twice = next(name for index, name in enumerate(names) if name in names[:index])
    raise WrongOutput(f"The function returned its output {twice!r} twice; give each a name of its own.")


def _well_formed(item: Item) -> Item:
    """Its data may be what a value may be that is returned by name; its shape, if it has one, stays."""
    if isinstance(item["data"], os.PathLike):
        item = {**item, "data": os.fspath(item["data"])}
    wrong = _fault(item)
    if wrong is None:
        return item
    try:
        made = from_value(item["name"], item["data"], (item["datatype"],))
    except ItemError as error:
        raise _unanswerable(item["name"], error) from error
    made = {**item, **made}
    if item.get("shape") is not None:
        made["shape"] = _plain_shape(item["shape"])
    if made["datatype"] != item["datatype"] or (wrong := _fault(made)):
        raise _unanswerable(item["name"], wrong)
    return made


def _plain_shape(shape: Any) -> Any:
    """A tuple as array libraries have it, or their own kind of numbers."""
    try:
        return [operator.index(length) for length in shape]
    except TypeError:
        return shape


def _fault(item: Item) -> str | None:
    """What is wrong with a returned item. Texts and objects may also come as a list of them."""
    datatype, data = item["datatype"], item["data"]
    if datatype in _ELEMENT and isinstance(data, list):
        kinds = (_ELEMENT[datatype], type(None))
        return (
            None if all(isinstance(one, kinds) for one in data) else f"data must be {datatype}, or a list of {datatype}"
        )
    if data is None and datatype in DATATYPES:
        return None
    return fault(item, scalar=True)


def _unanswerable(name: str, wrong: object) -> WrongOutput:
    return WrongOutput(f"The function's output {name!r} cannot be answered: {wrong}.")


def select(found: list[Item], wanted: tuple[str, ...], schema: Schema) -> list[Item]:
    """Those of the outputs that were asked for, in that order; `Invalid` names one that does not exist.

    `WrongOutput` when one is declared and asked for, and the function did not return it.
    """
    by_name = {item["name"]: item for item in found}
    declared = {one.name for one in schema.outputs}
    unknown = [name for name in wanted if name not in by_name and name not in declared]
    if unknown and schema.others.required:
        raise Invalid([unknown_output(name) for name in unknown])
    for one in schema.outputs:
        if one.required and one.name not in by_name and (not wanted or one.name in wanted):
            raise WrongOutput(f"The function did not return its output {one.name!r}.")
    return [by_name[name] for name in wanted if name in by_name] if wanted else found
