"""Items: `{"name", "datatype", "data", "shape"?, "content_type"?}`, and the values that they stand for. Pure.

Numbers travel as a one-dimensional list with their `shape` beside it; `FILE` carries the name of a file.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from .jsontext import plain

FLOATS = ("FP32", "FP64")
INTEGERS = ("INT32", "INT64")
NUMBERS = FLOATS + INTEGERS
TENSORS = (*NUMBERS, "BOOL")
DATATYPES = (*TENSORS, "str", "dict", "FILE")

_RANGES = {"INT32": 2**31, "INT64": 2**63}
_NUMBER_TYPES = frozenset((int, float))
_ELEMENTS = {
    "FP32": (_NUMBER_TYPES, "numbers"),
    "FP64": (_NUMBER_TYPES, "numbers"),
    "INT32": (frozenset((int,)), "whole numbers"),
    "INT64": (frozenset((int,)), "whole numbers"),
    "BOOL": (frozenset((bool,)), "true or false"),
}

Item = dict[str, Any]

MAX_SHOWN = 60


class Packed:
    """The elements of a tensor as they came in binary: `code` is numpy's name of their form, `<f4` and so on."""

    __slots__ = ("code", "content")

    def __init__(self, content: bytes, code: str) -> None:
        self.content = content
        self.code = code


_TEXTS = {
    "str": (frozenset((str, Packed)), "a string"),
    "dict": (frozenset((dict,)), "an object"),
    "FILE": (frozenset((str,)), "a string"),
}


class ItemError(Exception):
    """A value has no form as an item."""


def shown(value: Any) -> str:
    """A value in a sentence, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def is_file(item: Mapping[str, Any]) -> bool:
    """Whether it names a file; one that may be left out can be null."""
    return item.get("datatype") == "FILE" and item["data"] is not None


def fault(item: Mapping[str, Any], scalar: bool = False, single: bool = True, listed: bool = False) -> str | None:
    """What is wrong with this input item, None when it is well-formed; `scalar` lets a bare number pass.

    `single`, `listed`: whether one text or object will do, and whether a list of them will.
    """
    datatype = item.get("datatype")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        return f"datatype must be one of {', '.join(DATATYPES)}"
    if "data" not in item:
        return "data is missing"
    if not isinstance(item.get("content_type", ""), str):
        return "content_type must be a string"
    data = item["data"]
    if isinstance(data, Packed):
        return None
    if datatype in _ELEMENTS:
        if scalar and not isinstance(data, list):
            data = [data]
        return _list_fault(datatype, data) or _shape_fault(item.get("shape"), data)
    return _text_fault(datatype, item, single, listed and datatype != "FILE")


def _text_fault(datatype: str, item: Mapping[str, Any], single: bool, listed: bool) -> str | None:
    data, (kinds, one) = item["data"], _TEXTS[datatype]
    if single and type(data) in kinds:
        return None
    if not listed or (single and not isinstance(data, list)):
        return f"data must be {one} or a list of them" if listed else f"data must be {one}"
    if not isinstance(data, list) or not kinds.issuperset(map(type, data)):
        return f"data must be a list, each of it {one}"
    return _shape_fault(item.get("shape"), data)


def _list_fault(datatype: str, data: Any) -> str | None:
    kinds, noun = _ELEMENTS[datatype]
    if not isinstance(data, list):
        return f"data must be a list of {noun}"
    limit = _RANGES.get(datatype)
    if not kinds.issuperset(map(type, data)):
        if limit is not None and any(type(value) is float and abs(value) >= limit for value in data):
            return f"data has a number that does not fit into {datatype}"  # a long whole one, read as a float
        return f"data must be a one-dimensional list of {noun}"
    if limit is not None and data and not (-limit <= min(data) and max(data) < limit):
        return f"data has a number that does not fit into {datatype}"
    return None


def _shape_fault(shape: Any, data: Sequence[Any]) -> str | None:
    if shape is None or type(shape) is int:
        return None
    if not isinstance(shape, list):
        return "shape must be a list of whole numbers"
    size = 1
    for length in shape:
        if type(length) is not int or length < 0:
            return "shape must be a list of whole numbers from 0"
        size *= length
    return None if size == len(data) else f"shape {shape} holds {size} values, but data has {len(data)}"


def from_value(name: str, value: Any, declared: tuple[str, ...] = ()) -> Item:
    """The output item of a returned value; of several possible datatypes a declared one is taken."""
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return _from_array(name, value, declared)
    if isinstance(value, str):
        return {"name": name, "datatype": "FILE" if declared == ("FILE",) else "str", "data": value}
    if isinstance(value, os.PathLike):
        return {"name": name, "datatype": "FILE", "data": os.fspath(value)}
    if isinstance(value, dict):
        return {"name": name, "datatype": "dict", "data": value}
    if isinstance(value, (bool, int, float)):
        return _tensor(name, [value], [1], declared)
    if isinstance(value, (list, tuple)):
        return _from_list(name, value, declared)
    if hasattr(value, "model_dump") or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        return {"name": name, "datatype": "dict", "data": plain(value)}
    raise ItemError(f"{type(value).__name__} has no datatype")


def _from_array(name: str, value: Any, declared: tuple[str, ...]) -> Item:
    datatype = _dtype(value.dtype)
    shape = [int(length) for length in value.shape] or [1]
    data = value.reshape(-1).tolist()
    return {"name": name, "datatype": fitting(datatype, declared), "data": data, "shape": shape}


def _dtype(dtype: Any) -> str:
    """The datatype of a numpy (or torch) element type."""
    name = str(dtype).rsplit(".", 1)[-1]
    if name in ("float16", "bfloat16", "float32"):
        return "FP32"
    if name == "float64":
        return "FP64"
    if name in ("int8", "uint8", "int16", "uint16", "int32"):
        return "INT32"
    if name in ("int64", "uint32", "uint64"):
        return "INT64"
    if name == "bool":
        return "BOOL"
    if name.startswith(("str", "<U", ">U", "object")):
        return "str"
    raise ItemError(f"an array of {name} has no datatype")


def _from_list(name: str, value: Sequence[Any], declared: tuple[str, ...]) -> Item:
    shape: list[int] = []
    flat: list[Any] = [_element(element) for element in value]
    shape.append(len(flat))
    while flat and isinstance(flat[0], (list, tuple)):
        length = len(flat[0])
        if not all(isinstance(row, (list, tuple)) and len(row) == length for row in flat):
            raise ItemError("a list of lists of different lengths has no shape")
        flat = [_element(element) for row in flat for element in row]
        shape.append(length)
    return _tensor(name, flat, shape, declared)


def plain_elements(data: Sequence[Any]) -> list[Any]:
    """A list whose numbers are Python's own; numpy's come out of loops over arrays."""
    if any(hasattr(kind, "tolist") for kind in set(map(type, data))):
        return [_element(value) for value in data]
    return list(data)


def _element(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _tensor(name: str, flat: list[Any], shape: list[int], declared: tuple[str, ...]) -> Item:
    return {"name": name, "datatype": fitting(_datatype_of(flat), declared), "data": flat, "shape": shape}


def _datatype_of(flat: Sequence[Any]) -> str:
    kinds = set(map(type, flat))
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        if min(flat) < -(2**63) or max(flat) >= 2**63:
            raise ItemError("a number does not fit into INT64")
        return "INT64"
    if kinds <= _NUMBER_TYPES:
        return "FP64"
    if kinds == {str}:
        return "str"
    if kinds == {dict}:
        return "dict"
    raise ItemError("a list of " + " and ".join(sorted(kind.__name__ for kind in kinds)) + " has no datatype")


def fitting(datatype: str, declared: tuple[str, ...]) -> str:
    """A declared datatype that can hold what `datatype` holds, else `datatype` itself."""
    if datatype in declared:
        return datatype
    family = FLOATS if datatype in FLOATS else NUMBERS if datatype in INTEGERS else ()
    return next((candidate for candidate in declared if candidate in family), datatype)
