"""Elements of tensors: unpacked from JSON or bytes into items, and packed again. Pure.

Bytes are little-endian; each element of `BYTES` is preceded by its length in four bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from .. import json_codec
from ..function.items import TENSORS, BinaryElements, Item
from ..function.schema import FieldType

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
"""The protocol's datatypes of fixed size: their code in `struct` and numpy, and the datatype of the item."""
_TEXTS = ("str", "dict", "FILE")
_LENGTH = struct.Struct("<I")


class TensorError(Exception):
    """One tensor is invalid."""


def parse_shape(shape: Any) -> list[int]:
    if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in shape):
        raise TensorError("shape must be a list of whole numbers from 0")
    return shape


def unpack_numbers(content: bytes, code: str, count: int, *, keep_binary: bool) -> BinaryElements | list[Any]:
    size = struct.calcsize("<" + code)
    if len(content) != count * size:
        raise TensorError(f"its shape needs {count * size} bytes, but binary_data_size is {len(content)}")
    dtype = "?" if code == "?" else "<" + code
    return BinaryElements(content, dtype) if keep_binary else list(struct.unpack(f"<{count}{code}", content))


def unpack_texts(content: bytes, *, keep_binary: bool) -> list[Any]:
    """Unpack the elements of a BYTES tensor as texts, or with `keep_binary` as bytes."""
    elements: list[Any] = []
    position = 0
    while position < len(content):
        end = position + _LENGTH.size
        if end <= len(content):
            end += _LENGTH.unpack_from(content, position)[0]
        if end > len(content):
            raise TensorError("an element of BYTES is cut short")
        element = content[position + _LENGTH.size : end]
        try:
            elements.append(BinaryElements(element, "") if keep_binary else element.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise TensorError("BYTES must be text in UTF-8 here") from error
        position = end
    return elements


def flatten(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise TensorError("data must be a list" if data is not None else "data is missing")
    flat: list[Any] = data
    while any(isinstance(element, list) for element in flat):
        flat = [element for row in flat for element in (row if isinstance(row, list) else [row])]
    return flat


def build_text_item(name: str, values: Sequence[Any], shape: list[int], field_type: FieldType) -> Item:
    """A single element becomes one text if the type accepts that, otherwise the elements become a list."""
    datatype = next((candidate for candidate in field_type.datatypes if candidate in _TEXTS), "str")
    if field_type.nullable and list(values) == [None]:
        return {"name": name, "datatype": datatype, "data": None}
    elements = [_parse_text(value, datatype) for value in values]
    if field_type.single and len(elements) == 1:
        return {"name": name, "datatype": datatype, "data": elements[0]}
    if not field_type.listed:
        raise TensorError(f"must be one text, not {len(elements)}")
    return {"name": name, "datatype": datatype, "data": elements, "shape": shape}


def _parse_text(value: Any, datatype: str) -> Any:
    if not isinstance(value, (str, BinaryElements)):
        raise TensorError("must be a text")
    if datatype != "dict" or isinstance(value, BinaryElements):
        return value
    try:
        return json_codec.decode(value)
    except ValueError as error:
        raise TensorError(f"must be an object in JSON: {error}") from error


def to_tensor(item: Item) -> tuple[str, list[int], list[Any]]:
    """Return datatype, shape and elements of an output item."""
    data, shape = item["data"], item.get("shape")
    values = data if isinstance(data, list) else [] if data is None else [data]
    datatype = item["datatype"]
    if datatype not in TENSORS:
        datatype = "BYTES"
        if None in values:
            raise TypeError("an element has no value, which BYTES cannot represent")
        values = [value if isinstance(value, str) else json_codec.encode(value).decode("utf-8") for value in values]
    fits = isinstance(shape, list) and math.prod(shape) == len(values)
    return datatype, shape if fits and shape is not None else [len(values)], values


def pack_elements(datatype: str, values: Sequence[Any]) -> bytes:
    if datatype != "BYTES":
        return struct.pack(f"<{len(values)}{CODES[datatype][0]}", *values)
    texts = [value.encode("utf-8") for value in values]
    return b"".join([_LENGTH.pack(len(text)) + text for text in texts])
