"""Values of the JSON types for those that are not: of arrays, tables, models, dates and the like. Pure.

Nothing here is imported to know its types: a value tells by what it has.
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


def plain(value: Any) -> Any:
    """A value of the JSON types for one that is not (one level; `TypeError` when there is none)."""
    if isinstance(value, enum.Enum):
        return value.value
    if _is_missing(value):
        return None
    if hasattr(value, "tolist"):
        return _elements(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    if is_table(value):
        return value.to_dict(orient="records")
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, os.PathLike, decimal.Decimal)):
        return str(value)
    return _plain_container(value)


def _plain_container(value: Any) -> Any:
    """The same for subclasses of Python's own types, and for what can be walked through like them."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, collections.abc.Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return _in_order(value)
    walkable = (collections.abc.Sequence, collections.abc.Set, collections.abc.ValuesView)
    if isinstance(value, walkable) and not isinstance(value, (bytes, bytearray)):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def is_table(value: Any) -> bool:
    """A DataFrame of pandas."""
    return hasattr(value, "to_dict") and hasattr(value, "columns")


def _is_missing(value: Any) -> bool:
    """The NA and NaT of pandas: where a cell has no value."""
    return type(value).__name__ in ("NAType", "NaTType") and type(value).__module__.startswith("pandas")


def _elements(value: Any) -> Any:
    """Of arrays and scalars of numpy, tensors of torch, columns of pandas."""
    datatype = str(getattr(value, "dtype", ""))
    if datatype.startswith(("timedelta64", "complex")):
        raise TypeError(f"{datatype} has no JSON form")
    if _FINE_TIMES.fullmatch(datatype):
        value = value.astype("datetime64[us]")  # numpy would tell the others as bare numbers
    listed = value.tolist()
    return float(listed) if type(listed) is type(value) else listed  # numpy's long double stays what it is


def _in_order(values: Any) -> list[Any]:
    """A set in the same order each time, where its values have one."""
    try:
        return sorted(values)
    except TypeError:
        return list(values)


def walked(value: Any) -> Any:
    """The same with nothing in it that the standard library cannot write."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_key(key): walked(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [walked(inner) for inner in value]
    if value is None or isinstance(value, (str, int)):
        return value
    return walked(plain(value))


def _key(key: Any) -> str:
    """The text of a dict's key: a number, a date or a member of an Enum are keys, too."""
    if isinstance(key, enum.Enum):
        return _key(key.value)
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, (bool, int, float)):
        return json.dumps(walked(key))
    own = plain(key)
    if isinstance(own, (list, dict)):
        raise TypeError(f"{type(key).__name__} cannot be the key of an object")
    return _key(own)
