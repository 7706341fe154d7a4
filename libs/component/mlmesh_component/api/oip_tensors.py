"""Elements of tensors: from JSON or bytes into items, and back. Pure.

Bytes are little-endian; an element of `BYTES` stands behind its length in four bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from .. import json_codec
from ..function.items import TENSORS, Item, Packed
from ..function.schema import Kind

CODES = {
    "BOOL": ("?", "BOOL"),
    "INT8": ("b", "INT32"),
    "INT16": ("h", "INT32"),
    "INT32": ("i", "INT32"),
    "INT64": ("q", "INT64"),
    "UINT8": ("B", "INT32"),
    "UINT16": ("H", "INT32"),
    "UINT32": ("I", "INT64"),
    "UINT64": ("Q", "INT64"),
    "FP16": ("e", "FP32"),
    "FP32": ("f", "FP32"),
    "FP64": ("d", "FP64"),
}
"""The protocol's datatypes of fixed size: their code in `struct` and numpy alike, and the datatype of an item."""
_TEXTS = ("str", "dict", "FILE")
_LENGTH = struct.Struct("<I")


class TensorError(Exception):
    """What is wrong with one tensor."""


def shape_of(shape: Any) -> list[int]:
    if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in shape):
        raise TensorError("shape must be a list of whole numbers from 0")
    return shape


def numbers(content: bytes, code: str, count: int, *, keep: bool) -> Packed | list[Any]:
    size = struct.calcsize("<" + code)
    if len(content) != count * size:
        raise TensorError(f"its shape needs {count * size} bytes, but binary_data_size is {len(content)}")
    form = "?" if code == "?" else "<" + code
    return Packed(content, form) if keep else list(struct.unpack(f"<{count}{code}", content))


def texts(content: bytes, *, keep: bool) -> list[Any]:
    """The elements of a BYTES tensor, each behind its length: texts, or with `keep` as they came."""
    found: list[Any] = []
    at = 0
    while at < len(content):
        end = at + _LENGTH.size
        if end <= len(content):
            end += _LENGTH.unpack_from(content, at)[0]
        if end > len(content):
            raise TensorError("an element of BYTES is cut short")
        element = content[at + _LENGTH.size : end]
        try:
            found.append(Packed(element, "") if keep else element.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise TensorError("BYTES must be text in UTF-8 here") from error
        at = end
    return found


def flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise TensorError("data must be a list" if data is not None else "data is missing")
    flat: list[Any] = data
    while any(isinstance(one, list) for one in flat):
        flat = [element for one in flat for element in (one if isinstance(one, list) else [one])]
    return flat


def text_item(name: str, values: Sequence[Any], shape: list[int], kind: Kind) -> Item:
    """One element is one text where that will do, else they are a list."""
    datatype = next((one for one in kind.datatypes if one in _TEXTS), "str")
    if kind.nullable and list(values) == [None]:
        return {"name": name, "datatype": datatype, "data": None}
    found = [_text(value, datatype) for value in values]
    if kind.single and len(found) == 1:
        return {"name": name, "datatype": datatype, "data": found[0]}
    if not kind.listed:
        raise TensorError(f"must be one text, not {len(found)}")
    return {"name": name, "datatype": datatype, "data": found, "shape": shape}


def _text(value: Any, datatype: str) -> Any:
    if not isinstance(value, (str, Packed)):
        raise TensorError("must be a text")
    if datatype != "dict" or isinstance(value, Packed):
        return value
    try:
        return json_codec.decode(value)
    except ValueError as error:
        raise TensorError(f"must be an object in JSON: {error}") from error


def tensor(item: Item) -> tuple[str, list[int], list[Any]]:
    """Datatype, shape and elements of an output item."""
    data, shape = item["data"], item.get("shape")
    values = data if isinstance(data, list) else [] if data is None else [data]
    datatype = item["datatype"]
    if datatype not in TENSORS:
        datatype = "BYTES"
        if None in values:
            raise TypeError("an element has no value, and BYTES has nothing for that")
        values = [one if isinstance(one, str) else json_codec.encode(one).decode("utf-8") for one in values]
    fits = isinstance(shape, list) and math.prod(shape) == len(values)
    return datatype, shape if fits and shape is not None else [len(values)], values


def packed(datatype: str, values: Sequence[Any]) -> bytes:
    if datatype != "BYTES":
        return struct.pack(f"<{len(values)}{CODES[datatype][0]}", *values)
    texts = [value.encode("utf-8") for value in values]
    return b"".join([_LENGTH.pack(len(text)) + text for text in texts])
