"""Items, `{"name", "datatype", "data", "shape"?, "content_type"?}`, and their validation. Pure.

Numbers are sent as a one-dimensional list with a separate `shape`; the data of a `FILE` is a file name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FLOATS = ("FP32", "FP64")
INTEGERS = ("INT32", "INT64")
NUMBERS = FLOATS + INTEGERS
TENSORS = (*NUMBERS, "BOOL")
DATATYPES = (*TENSORS, "str", "dict", "FILE")

RANGES = {"INT32": 2**31, "INT64": 2**63}
"""Each range is from minus this number to one less than it."""
_NUMBER_TYPES = frozenset((int, float))
_ELEMENTS = {
    "FP32": (_NUMBER_TYPES, "numbers"),
    "FP64": (_NUMBER_TYPES, "numbers"),
    "INT32": (frozenset((int,)), "whole numbers"),
    "INT64": (frozenset((int,)), "whole numbers"),
    "BOOL": (frozenset((bool,)), "true or false"),
}

Item = dict[str, Any]

MAX_VALUE_CHARACTERS = 60


class BinaryElements:
    """Elements of a tensor in binary form; `code` is their numpy dtype, such as `<f4`."""

    __slots__ = ("code", "content")

    def __init__(self, content: bytes, code: str) -> None:
        self.content = content
        self.code = code


_TEXTS = {
    "str": (frozenset((str, BinaryElements)), "a string"),
    "dict": (frozenset((dict,)), "an object"),
    "FILE": (frozenset((str,)), "a string"),
}


class ItemError(Exception):
    """A value cannot be represented as an item."""


def format_value(value: Any) -> str:
    """Format a value for an error message, shortened if it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python does not convert integers of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[:MAX_VALUE_CHARACTERS] + "…"


def is_file_item(item: Mapping[str, Any]) -> bool:
    """Whether the item names a file; an optional one may be null."""
    return item.get("datatype") == "FILE" and item["data"] is not None


def find_fault(item: Mapping[str, Any], scalar: bool = False, single: bool = True, listed: bool = False) -> str | None:
    """Describe what is wrong with an input item; None if it is well-formed. `scalar`: a bare number is allowed.

    `single`, `listed`: one text or object is allowed, a list of them is allowed.
    """
    datatype = item.get("datatype")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        return f"datatype must be one of {', '.join(DATATYPES)}"
    if "data" not in item:
        return "data is missing"
    if not isinstance(item.get("content_type", ""), str):
        return "content_type must be a string"
    data = item["data"]
    if isinstance(data, BinaryElements):
        return None
    if datatype in _ELEMENTS:
        if scalar and not isinstance(data, list):
            data = [data]
        return _find_list_fault(datatype, data) or _find_shape_fault(item.get("shape"), data)
    return _find_text_fault(datatype, item, single, listed and datatype != "FILE")


def _find_text_fault(datatype: str, item: Mapping[str, Any], single: bool, listed: bool) -> str | None:
    data, (allowed_types, noun) = item["data"], _TEXTS[datatype]
    if single and type(data) in allowed_types:
        return None
    if not listed or (single and not isinstance(data, list)):
        return f"data must be {noun} or a list of them" if listed else f"data must be {noun}"
    if not isinstance(data, list) or not allowed_types.issuperset(map(type, data)):
        return f"data must be a list, each of it {noun}"
    return _find_shape_fault(item.get("shape"), data)


def _find_list_fault(datatype: str, data: Any) -> str | None:
    allowed_types, noun = _ELEMENTS[datatype]
    if not isinstance(data, list):
        return f"data must be a list of {noun}"
    limit = RANGES.get(datatype)
    if not allowed_types.issuperset(map(type, data)):
        if limit is not None and any(type(value) is float and abs(value) >= limit for value in data):
            return f"data has a number that does not fit into {datatype}"  # a long integer is decoded as a float
        return f"data must be a one-dimensional list of {noun}"
    if limit is not None and data and not (-limit <= min(data) and max(data) < limit):
        return f"data has a number that does not fit into {datatype}"
    return None


def _find_shape_fault(shape: Any, data: Sequence[Any]) -> str | None:
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


def select_datatype(datatype: str, declared: tuple[str, ...]) -> str:
    """A declared datatype that can represent the values of `datatype`, otherwise `datatype` itself."""
    if datatype in declared:
        return datatype
    family = FLOATS if datatype in FLOATS else NUMBERS if datatype in INTEGERS else ()
    return next((candidate for candidate in declared if candidate in family), datatype)
