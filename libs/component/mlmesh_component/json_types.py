"""Conversion of arrays, tables, models, dates and the like to JSON types. Pure.

Imports no library for its types: values are recognised by their attributes.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import json
import math
import os
import re
import uuid
from typing import Any

_FINE_TIMES = re.compile(r"datetime64\[(ns|ps|fs|as)\]")


def to_json_type(value: Any) -> Any:
    """Convert one level to a JSON type; raises `TypeError` for a value without a JSON form."""
    if isinstance(value, enum.Enum):
        return value.value
    if _is_missing(value):
        return None
    if hasattr(value, "tolist"):
        return _array_to_list(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if is_dataframe(value):
        return value.to_dict(orient="records")
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, os.PathLike, decimal.Decimal)):
        return str(value)
    return _container_to_json_type(value)


def _container_to_json_type(value: Any) -> Any:
    """The same for subclasses of Python's types, and for other mappings, sequences and sets."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, collections.abc.Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return _sort_set(value)
    walkable = (collections.abc.Sequence, collections.abc.Set, collections.abc.ValuesView)
    if isinstance(value, walkable) and not isinstance(value, (bytes, bytearray)):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def is_dataframe(value: Any) -> bool:
    """Whether it is a DataFrame of pandas."""
    return hasattr(value, "to_dict") and hasattr(value, "columns")


def _is_missing(value: Any) -> bool:
    """Whether it is NA or NaT of pandas: a cell without a value."""
    return type(value).__name__ in ("NAType", "NaTType") and type(value).__module__.startswith("pandas")


def _array_to_list(value: Any) -> Any:
    """Convert arrays and scalars of numpy, tensors of torch, columns of pandas."""
    datatype = str(getattr(value, "dtype", ""))
    if datatype.startswith(("timedelta64", "complex")):
        raise TypeError(f"{datatype} has no JSON form")
    if _FINE_TIMES.fullmatch(datatype):
        value = value.astype("datetime64[us]")  # numpy converts finer units to bare numbers
    elements = value.tolist()
    return float(elements) if type(elements) is type(value) else elements  # tolist() keeps numpy's long double


def _sort_set(values: Any) -> list[Any]:
    """A list of the set's values, sorted if they can be compared."""
    try:
        return sorted(values)
    except TypeError:
        return list(values)


def to_json_tree(value: Any) -> Any:
    """Convert all levels to types that the standard library can encode."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_key_to_text(key): to_json_tree(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_tree(inner) for inner in value]
    if value is None or isinstance(value, (str, int)):
        return value
    return to_json_tree(to_json_type(value))


def _key_to_text(key: Any) -> str:
    """The text of a dict's key, which may also be a number, a date or a member of an Enum."""
    if isinstance(key, enum.Enum):
        return _key_to_text(key.value)
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, (bool, int, float)):
        return json.dumps(to_json_tree(key))
    json_key = to_json_type(key)
    if isinstance(json_key, (list, dict)):
        raise TypeError(f"{type(key).__name__} cannot be the key of an object")
    return _key_to_text(json_key)
