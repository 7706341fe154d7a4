"""What an annotation takes: the datatypes that stand for it and how an item becomes its value. Pure."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pathlib
import types
import typing
from collections.abc import Mapping
from typing import Any, Callable, Union

from .items import INTEGERS, NUMBERS, TENSORS, Item, Packed
from .schema import Kind, SchemaError, as_is

_UNION_TYPES = (Union, getattr(types, "UnionType", Union))
_DTYPES = {"FP32": "float32", "FP64": "float64", "INT32": "int32", "INT64": "int64", "BOOL": "bool"}
_NUMBERS_OF = {float: NUMBERS, int: INTEGERS, bool: ("BOOL",)}


def kind_of(annotation: Any) -> Kind:
    """What this annotation takes; `SchemaError` when no datatype stands for it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (Any, object, inspect.Parameter.empty):
        return Kind(scalar=True)
    if origin in _UNION_TYPES:
        return _union(arguments)
    if origin is typing.Literal:
        return _literal(arguments)
    if annotation in _NUMBERS_OF:
        return Kind(_NUMBERS_OF[annotation], lambda item: annotation(_one(item)), scalar=True)
    if annotation is str:
        return Kind(("str",))
    if isinstance(annotation, type) and issubclass(annotation, pathlib.PurePath):
        return Kind(("FILE",), lambda item: pathlib.Path(item["data"]))
    if annotation in (list, tuple) or origin in (list, tuple) or _named(origin, "Sequence"):
        return _list(arguments)
    if _named(origin or annotation, "ndarray"):
        return Kind(TENSORS, _array, packed=True)
    return _object(origin or annotation)


def _named(annotation: Any, name: str) -> bool:
    return getattr(annotation, "__name__", "") == name


def _one(item: Item) -> Any:
    data = item["data"]
    if not isinstance(data, list):
        return data
    if len(data) != 1:
        raise ValueError(f"must be one value, not {len(data)}")
    return data[0]


def _union(arguments: tuple[Any, ...]) -> Kind:
    kinds = [kind_of(one) for one in arguments if one is not type(None)]
    nullable = len(kinds) < len(arguments)
    datatypes = tuple(dict.fromkeys(name for kind in kinds for name in kind.datatypes))

    def convert(item: Item) -> Any:
        if item["data"] is None:
            return None
        fitting = [kind for kind in kinds if not kind.datatypes or item["datatype"] in kind.datatypes]
        for kind in fitting[:-1]:
            try:
                return kind.convert(item)
            except ValueError:
                continue
        return fitting[-1].convert(item)

    choices = kinds[0].choices if len(kinds) == 1 else ()
    return Kind(datatypes, convert, any(kind.scalar for kind in kinds), nullable, choices)


def _literal(choices: tuple[Any, ...]) -> Kind:
    names = dict.fromkeys(name for choice in choices for name in kind_of(type(choice)).datatypes)

    def convert(item: Item) -> Any:
        value = _one(item)
        for choice in choices:
            if type(choice) is type(value) and choice == value:
                return choice
        raise ValueError("must be one of " + ", ".join(repr(choice) for choice in choices))

    return Kind(tuple(names), convert, scalar="str" not in names, choices=choices)


def _list(arguments: tuple[Any, ...]) -> Kind:
    element = arguments[0] if arguments else float
    if element is Any or element not in _NUMBERS_OF:
        raise SchemaError("a list holds float, int or bool; use dict for anything else")
    return Kind(
        _NUMBERS_OF[element], lambda item: [element(value) for value in item["data"]] if arguments else as_is(item)
    )


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
    if hasattr(annotation, "model_validate"):
        return Kind(("dict",), _pydantic(annotation.model_validate))
    if hasattr(annotation, "parse_obj"):
        return Kind(("dict",), _pydantic(annotation.parse_obj))
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return Kind(("dict",), lambda item: _build(annotation, item["data"], ""))
    if isinstance(annotation, type) and (issubclass(annotation, dict) or _named(annotation, "Mapping")):
        return Kind(("dict",))
    raise SchemaError(f"no datatype stands for {annotation!r}")


def _pydantic(validate: Callable[[Any], Any]) -> Callable[[Item], Any]:
    def convert(item: Item) -> Any:
        try:
            return validate(item["data"])
        except ValueError as error:  # pydantic's own is one, in both of its versions
            listed = getattr(error, "errors", None)
            if listed is None:
                raise
            raise ValueError("; ".join(_place(one) for one in listed())) from error

    return convert


def _place(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error.get("loc", ()))
    return f"{where}: {error['msg']}" if where else str(error["msg"])


def _build(cls: type, data: Mapping[str, Any], where: str) -> Any:
    """A dataclass of a JSON object, its fields checked as far as their annotations are plain."""
    hints = typing.get_type_hints(cls)
    fields = {one.name: one for one in dataclasses.fields(cls) if one.init}
    for name in data:
        if name not in fields:
            raise ValueError(f"{where}{name}: is not a field of {cls.__name__}")
    values: dict[str, Any] = {}
    for name, one in fields.items():
        if name in data:
            values[name] = _value(hints[name], data[name], f"{where}{name}")
        elif one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where}{name}: is missing")
    return cls(**values)


def _value(annotation: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        if not isinstance(value, dict):
            raise ValueError(f"{where}: must be an object")
        return _build(annotation, value, where + ".")
    if annotation is float and type(value) is int:
        return float(value)
    if annotation in (int, float, bool, str, list, dict) and type(value) is not annotation:
        raise ValueError(f"{where}: must be {annotation.__name__}")
    return value
