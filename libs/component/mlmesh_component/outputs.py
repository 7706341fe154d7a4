"""What a function returned, as output items that fit its schema."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from .items import DATATYPES, Item, ItemError, fault, from_value, plain_elements
from .problems import Invalid, WrongOutput
from .schema import Schema, unknown_output

_ELEMENT = {"str": str, "dict": dict}


def outputs(result: Any, schema: Schema) -> list[Item]:
    """The output items of what the function returned; `WrongOutput` says which one is none, or does not fit."""
    if isinstance(result, (list, tuple)):
        found = [_listed(index, item) for index, item in enumerate(result)]
    else:
        found = [_made(name, value, schema) for name, value in _named_values(result).items()]
    for item in found:
        wrong = _fault(item, schema.output_datatypes(item["name"]))
        if wrong is not None:
            raise WrongOutput(f"The function's output {item['name']!r} cannot be answered: {wrong}.")
    return found


def _made(name: Any, value: Any, schema: Schema) -> Item:
    if not isinstance(name, str):
        raise WrongOutput(f"The function returned a dict with the key {name!r}; names of outputs are strings.")
    try:
        return from_value(name, value, schema.output_datatypes(name))
    except ItemError as error:
        raise WrongOutput(f"The function's output {name!r} cannot be answered: {error}.") from error


def _named_values(result: Any) -> Mapping[Any, Any]:
    if isinstance(result, Mapping):
        return result
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return {one.name: getattr(result, one.name) for one in dataclasses.fields(result)}
    if hasattr(result, "model_dump"):
        return {name: getattr(result, name) for name in type(result).model_fields}
    raise WrongOutput(
        f"The function returned {type(result).__name__}, not a list of items or a dict of values by name."
    )


def _listed(index: int, item: Any) -> Item:
    if not isinstance(item, dict):
        raise WrongOutput(f"The function's output {index} is {type(item).__name__}, not an item.")
    for key in ("name", "datatype"):
        if not isinstance(item.get(key), str):
            raise WrongOutput(f"The function's output {index} ({item.get('name')!r}) has no {key}.")
    if "data" not in item:
        raise WrongOutput(f"The function's output {index} ({item['name']!r}) has no data.")
    data = item["data"]
    if isinstance(data, os.PathLike):
        return {**item, "data": os.fspath(data)}
    if hasattr(data, "tolist"):
        shape = [int(length) for length in getattr(data, "shape", ())] or [1]
        return {**item, "data": data.reshape(-1).tolist(), "shape": item.get("shape", shape)}
    if isinstance(data, (list, tuple)):
        return {**item, "data": plain_elements(data)}
    return item


def _fault(item: Item, declared: Sequence[str]) -> str | None:
    """What is wrong with a returned item. Texts and objects may also come as a list of them."""
    datatype, data = item["datatype"], item["data"]
    if declared and datatype not in declared:
        return f"its datatype is {datatype!r}, but {' or '.join(declared)} is declared"
    if datatype in _ELEMENT and isinstance(data, list):
        kind = _ELEMENT[datatype]
        return (
            None if all(isinstance(one, kind) for one in data) else f"data must be {datatype}, or a list of {datatype}"
        )
    if data is None and datatype in DATATYPES:
        return None
    return fault(item, scalar=True)


def select(found: list[Item], wanted: tuple[str, ...], schema: Schema) -> list[Item]:
    """Those of the outputs that were asked for, in that order; `Invalid` names one that does not exist.

    `WrongOutput` when one is declared and asked for, and the function did not return it.
    """
    by_name = {item["name"]: item for item in found}
    declared = {one.name for one in schema.outputs}
    unknown = [name for name in wanted if name not in by_name and name not in declared]
    if unknown:
        raise Invalid([unknown_output(name) for name in unknown])
    for one in schema.outputs:
        if one.required and one.name not in by_name and (not wanted or one.name in wanted):
            raise WrongOutput(f"The function did not return its output {one.name!r}.")
    return [by_name[name] for name in wanted if name in by_name] if wanted else found
