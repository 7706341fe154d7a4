"""What an annotation takes: the datatypes that stand for it and how an item becomes its value. Pure."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import itertools
import pathlib
import typing
from collections.abc import Sequence
from typing import Any, Callable

from . import validators
from .items import DATATYPES, INTEGERS, NUMBERS, TENSORS, Item, Packed
from .schema import Kind, SchemaError, as_is

_DTYPES = {"FP32": "float32", "FP64": "float64", "INT32": "int32", "INT64": "int64", "BOOL": "bool"}
_NUMBERS_OF = {float: NUMBERS, int: INTEGERS, bool: ("BOOL",)}
_ELEMENTS = "numbers, bool, str, dict, models, members of an Enum, dates or bytes"
_BASE64 = validators.reader(bytes)


def kind_of(annotation: Any) -> Kind:
    """What this annotation takes; `SchemaError` when no datatype stands for it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (Any, object, inspect.Parameter.empty):
        return Kind(scalar=True, listed=True)
    if origin in validators.UNIONS:
        return _union(arguments)
    if origin is typing.Literal or validators.is_enum(annotation):
        return _choice(annotation)
    if annotation in _NUMBERS_OF:
        return Kind(_NUMBERS_OF[annotation], lambda item: annotation(_one(item)), scalar=True)
    if annotation is str:
        return Kind(("str",), anything=True)
    if annotation is bytes:
        return Kind(("str", "FILE"), _bytes, packed=True, format=validators.FORMATS[bytes])
    if annotation in validators.FORMATS:
        read = validators.reader(annotation)
        return Kind(("str",), lambda item: read(item["data"]), format=validators.FORMATS[annotation])
    if annotation in (list, tuple) or origin in (list, tuple) or _named(origin, "Sequence"):
        return _list(arguments)
    if _named(origin or annotation, "ndarray"):
        return Kind(TENSORS, _array, packed=True)
    if origin is None and isinstance(annotation, type) and issubclass(annotation, pathlib.PurePath):
        return Kind(("FILE",), lambda item: pathlib.Path(item["data"]))
    return _object(origin or annotation)


def nullable(kind: Kind) -> Kind:
    """The same, or None."""
    if kind.nullable:
        return kind
    return dataclasses.replace(
        kind, nullable=True, convert=lambda item: None if item["data"] is None else kind.convert(item)
    )


def _named(annotation: Any, name: str) -> bool:
    return getattr(annotation, "__name__", "") == name


def _one(item: Item) -> Any:
    data = item["data"]
    if not isinstance(data, list):
        return data
    if len(data) != 1:
        raise ValueError(f"must be one value, not {len(data)}")
    return data[0]


def _union(arguments: Sequence[Any]) -> Kind:
    """By the datatype that comes, for a number the narrower one; then the first that takes the value."""
    some = [one for one in arguments if one is not type(None)]
    members = tuple(kind_of(one) for one in some)
    if len(members) == 1:
        return nullable(members[0])
    for (first, one), (second, other) in itertools.combinations(zip(some, members), 2):
        _check_distinct(first, one, second, other)
    narrow = sorted(members, key=lambda kind: len(kind.datatypes or DATATYPES))

    def convert(item: Item) -> Any:
        fitting = [kind.convert for kind in narrow if _may_take(kind, item)]
        if not fitting:
            raise ValueError("must be a list" if not isinstance(item["data"], list) else "must not be a list")
        return validators.first(fitting, item)

    found = Kind(
        tuple(dict.fromkeys(name for kind in members for name in kind.datatypes)),
        convert,
        scalar=any(kind.scalar for kind in members),
        single=any(kind.single for kind in members if not _is_of_tensors(kind)),
        listed=any(kind.listed for kind in members),
        members=members,
    )
    return nullable(found) if len(members) < len(arguments) else found


def _may_take(kind: Kind, item: Item) -> bool:
    datatype = item["datatype"]
    if kind.datatypes and datatype not in kind.datatypes:
        return False
    return datatype in TENSORS or (kind.listed if isinstance(item["data"], list) else kind.single)


def _is_of_tensors(kind: Kind) -> bool:
    return bool(kind.datatypes) and set(kind.datatypes) <= set(TENSORS)


def _check_distinct(first: Any, one: Kind, second: Any, other: Kind) -> None:
    """Raises `SchemaError` when nothing tells which of two is meant."""
    shared = set(one.datatypes or DATATYPES) & set(other.datatypes or DATATYPES) - set(TENSORS)
    if not shared or not ((one.single and other.single) or (one.listed and other.listed)):
        return
    if one.anything:
        raise SchemaError(f"{_name(second)} is never reached behind {_name(first)}: write {_name(first)} last")
    if "str" in shared and validators.FORMATS[bytes] in (one.format, other.format):
        raise SchemaError(f"{_name(first)} and {_name(second)} cannot be told apart: both come as text")


def _name(annotation: Any) -> str:
    return (
        getattr(annotation, "__name__", str(annotation)) if typing.get_origin(annotation) is None else str(annotation)
    )


def _choice(annotation: Any) -> Kind:
    allowed = tuple(value for value, _ in validators.choices(annotation))
    for value in allowed:
        if type(value) not in (*_NUMBERS_OF, str):
            raise SchemaError(f"{_name(annotation)} has the value {value!r}; values are str, int, float or bool")
    if not allowed:
        raise SchemaError(f"{_name(annotation)} has no values")
    names = dict.fromkeys(name for value in allowed for name in kind_of(type(value)).datatypes)
    read = validators.reader(annotation)
    found = Kind(tuple(names), lambda item: read(_one(item)), scalar=True, choices=allowed)
    return nullable(found) if None in typing.get_args(annotation) else found


def _list(arguments: Sequence[Any]) -> Kind:
    element = arguments[0] if arguments else float
    if element in _NUMBERS_OF:
        return Kind(_NUMBERS_OF[element], _numbers(element) if arguments else as_is)
    kind = Kind() if element is Any else kind_of(element)
    datatypes = tuple(name for name in kind.datatypes if name != "FILE")
    if not datatypes or kind.nullable or kind.members or not (kind.scalar if _is_of_tensors(kind) else kind.single):
        raise SchemaError(f"a list of {_name(element)} cannot come; a list holds {_ELEMENTS}")

    def convert(item: Item) -> list[Any]:
        datatype = item["datatype"]
        try:
            return validators.each(lambda value: kind.convert({"datatype": datatype, "data": value}), item["data"])
        except validators.Misfit as error:
            raise validators.within("data", error) from error

    return dataclasses.replace(
        kind, datatypes=datatypes, convert=_texts if kind.anything else convert, scalar=False, single=False, listed=True
    )


def _texts(item: Item) -> Any:
    if not isinstance(item["data"], list):
        raise ValueError("must be a list")
    return item["data"]


def _numbers(element: Any) -> Callable[[Item], list[Any]]:
    def convert(item: Item) -> list[Any]:
        if not isinstance(item["data"], list):
            raise ValueError("must be a list")
        return [element(value) for value in item["data"]]

    return convert


def _bytes(item: Item) -> bytes:
    """The element of a tensor as it came, what is in a file, or a text's base64."""
    data = item["data"]
    if isinstance(data, Packed):
        return data.content
    return pathlib.Path(data).read_bytes() if item["datatype"] == "FILE" else _BASE64(data)


def _array(item: Item) -> Any:
    numpy = importlib.import_module("numpy")
    data, dtype = item["data"], _DTYPES[item["datatype"]]
    if isinstance(data, Packed):
        array = numpy.frombuffer(data.content, data.code).astype(dtype)
    else:
        array = numpy.asarray(data, dtype=dtype)
    shape = item.get("shape")
    return array.reshape(shape) if isinstance(shape, list) else array


def _object(annotation: Any) -> Kind:
    if _named(annotation, "Mapping") or (isinstance(annotation, type) and issubclass(annotation, dict)):
        return Kind(("dict",), anything=True)
    if not validators.is_object(annotation):
        raise SchemaError(f"no datatype stands for {annotation!r}")
    read = validators.reader(annotation)
    return Kind(("dict",), lambda item: read(item["data"]))
