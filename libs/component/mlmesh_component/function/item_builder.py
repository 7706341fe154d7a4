"""Builds output items from returned values, with a declared datatype if one fits, else with the natural one. Pure."""

from __future__ import annotations

import decimal
import enum
import itertools
import math
import os
from collections.abc import Sequence
from typing import Any

from ..json_types import is_dataframe, to_json_type
from .datatype_casts import cast_to_declared, infer_datatype
from .items import Item, ItemError

_JSON = frozenset((float, int, bool, str, dict, list))
_ELEMENTS = frozenset((float, int, bool, str, dict))
MAX_DIMENSIONS = 64
"""The limit of numpy."""
_DTYPES = {
    **dict.fromkeys(("float16", "bfloat16", "float32"), "FP32"),
    "float64": "FP64",
    **dict.fromkeys(("int8", "uint8", "int16", "uint16", "int32"), "INT32"),
    **dict.fromkeys(("int64", "uint32", "uint64"), "INT64"),
    "bool": "BOOL",
}
"""The datatypes of numpy's, torch's and pandas' dtypes; for others the elements are inspected."""
_TEXTS = ("<U", ">U", "str", "datetime64")


class MissingValue(ItemError):
    """The value is None, or NA of pandas."""


def build_item(name: str, value: Any, declared: Sequence[str] = ()) -> Item:
    """Build the output item of a returned value, preferably with a declared datatype."""
    if type(value) not in _JSON and not isinstance(value, os.PathLike):
        if hasattr(value, "dtype") and hasattr(value, "tolist") and not isinstance(value, (str, float)):
            return _build_from_array(name, value, declared)
        if is_dataframe(value):
            return _build_tensor(name, _to_json_value(value, declared), [len(value)], declared, "dict")
        value = _to_json_value(value, declared)
    if isinstance(value, str):
        return {"name": name, "datatype": "FILE" if declared == ("FILE",) else "str", "data": value}
    if isinstance(value, dict):
        return {"name": name, "datatype": "dict", "data": value}
    if isinstance(value, list):
        return _build_from_list(name, value, declared)
    if value is None:
        raise MissingValue("it is None")
    if isinstance(value, os.PathLike):
        return {"name": name, "datatype": "FILE", "data": os.fspath(value)}
    return _build_tensor(name, [value], [1], declared)


def _to_json_value(value: Any, declared: Sequence[str]) -> Any:
    """Convert to a JSON type, without the elements; a Decimal becomes a number only if one is declared."""
    while not (value is None or type(value) in _JSON):
        if isinstance(value, os.PathLike) and not isinstance(value, enum.Enum):
            raise ItemError("a list of files has no datatype; return each as an output of its own")
        if isinstance(value, decimal.Decimal) and declared and "str" not in declared:
            return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
        try:
            value = to_json_type(value)
        except TypeError as error:
            raise _datatype_error(value) from error
    return value


def _datatype_error(value: Any) -> ItemError:
    is_array = hasattr(value, "dtype") and hasattr(value, "shape") and len(value.shape) > 0
    type_name = f"an array of {value.dtype}" if is_array else type(value).__name__
    if isinstance(value, (bytes, bytearray)):
        return ItemError(f"{type_name} has no datatype; return text, or the path of a file")
    if "timedelta" in type_name.lower():
        return ItemError(f"{type_name} has no datatype; return its seconds")
    return ItemError(f"{type_name} has no datatype")


def _build_from_array(name: str, value: Any, declared: Sequence[str]) -> Item:
    """Build from an array of numpy, torch or pandas; checks elements only if they may not fit."""
    dtype = str(value.dtype).rsplit(".", 1)[-1]
    shape = [int(length) for length in value.shape] or [1]
    natural = _DTYPES.get(dtype)
    if natural is None:
        return _build_from_elements(name, value, shape, declared)
    flat = (value.reshape(-1) if hasattr(value, "reshape") else value).tolist()
    fits = natural in declared or not declared
    if fits and dtype != "uint64" and not hasattr(value, "mask"):
        return {"name": name, "datatype": natural, "data": flat, "shape": shape}
    return _build_tensor(name, flat, shape, declared, natural)


def _build_from_elements(name: str, value: Any, shape: list[int], declared: Sequence[str]) -> Item:
    dtype = str(value.dtype)
    elements = _to_json_value(value, declared)
    if not isinstance(elements, list):
        return build_item(name, elements, declared)
    flat, nested = _flatten_nested(elements, declared)
    natural = "str" if dtype.startswith(_TEXTS) else _DTYPES.get(dtype.lower())
    return _build_tensor(name, flat, shape if math.prod(shape) == len(flat) else nested, declared, natural)


def _build_from_list(name: str, value: list[Any], declared: Sequence[str]) -> Item:
    if _ELEMENTS.issuperset(map(type, value)):
        return _build_tensor(name, value, [len(value)], declared)
    flat, shape = _flatten_nested(value, declared)
    return _build_tensor(name, flat, shape, declared)


def _flatten_nested(value: list[Any], declared: Sequence[str]) -> tuple[list[Any], list[int]]:
    """Flatten nested lists in row-major order; also returns their shape."""
    flat = _to_json_values(value, declared)
    shape = [len(flat)]
    while list in set(map(type, flat)):
        if len(shape) == MAX_DIMENSIONS:
            raise ItemError("it is nested too deeply, or contains itself")
        lengths = {len(row) if type(row) is list else None for row in flat}
        length = lengths.pop()
        if lengths or length is None:
            raise ItemError("a list of lists of different lengths has no shape")
        flat = _to_json_values(list(itertools.chain.from_iterable(flat)), declared)
        shape.append(length)
    return flat, shape


def _to_json_values(values: list[Any], declared: Sequence[str]) -> list[Any]:
    return values if _JSON.issuperset(map(type, values)) else [_to_json_value(value, declared) for value in values]


def _build_tensor(
    name: str, flat: list[Any], shape: list[int], declared: Sequence[str], natural: str | None = None
) -> Item:
    if declared == ("FILE",):
        raise ItemError("a list is not a file")
    if flat:
        datatype, flat = cast_to_declared(*infer_datatype(flat, declared, natural), declared)
    else:
        possible = [datatype for datatype in declared if datatype != "FILE"]
        datatype = natural if natural and (natural in possible or not possible) else next(iter(possible), "FP64")
    return {"name": name, "datatype": datatype, "data": flat, "shape": shape}
