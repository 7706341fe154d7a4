"""The outputs that a function's return annotation tells: a TypedDict, dataclass, NamedTuple or pydantic model. Pure.

Of `dict[str, X]` it is known what its outputs hold, not which they are. An annotation that says nothing is no fault.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import os
import typing
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from .schema import Field, Kind, Schema
from .validators import UNIONS, is_enum

_SCALARS = {
    bool: ("BOOL",),
    int: ("INT64", "INT32"),
    float: ("FP64", "FP32"),
    str: ("str",),
}
_TEXTS = (datetime.date, datetime.time, uuid.UUID, decimal.Decimal)
_PIECES = (collections.abc.Iterable, collections.abc.AsyncIterable)
_LISTS = (collections.abc.Sequence, collections.abc.Set, collections.abc.ValuesView)
_NONE = type(None)


def described(written: Schema, annotation: Any, *, batched: bool = False) -> Schema:
    """The schema of a docstring, with what the return annotation says of the outputs."""
    optional, told = _single(_of_one_answer(annotation, batched))
    if _is_mapping(told):
        arguments = typing.get_args(told)
        return dataclasses.replace(written, others=_field("", arguments[1])) if len(arguments) == 2 else written
    own = {one.name: dataclasses.replace(one, required=one.required and not optional) for one in _fields(told)}
    named = tuple(_merged(one, own.pop(one.name, None)) for one in written.outputs)
    return dataclasses.replace(written, outputs=named + tuple(own.values()))


def _merged(told: Field, own: Field | None) -> Field:
    """A docstring's words go before the annotation's."""
    if own is None:
        return told
    kind = told.kind if told.kind.datatypes else own.kind
    return Field(told.name, kind, told.required and own.required, told.description or own.description)


def _of_one_answer(annotation: Any, batched: bool) -> Any:
    """Of the list of a batch's, or of those that are yielded, that of one."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    pieces = (
        isinstance(origin, type) and issubclass(origin, _PIECES) and not issubclass(origin, collections.abc.Mapping)
    )
    if not pieces or (issubclass(origin, _LISTS) and not batched):
        return annotation
    return arguments[0]


def _single(annotation: Any) -> tuple[bool, Any]:
    """Whether it may be None, and the one other thing that it may be; an exception is no answer."""
    choices = _choices(annotation)
    others = [one for one in choices if one is not _NONE and not _is_a(one, BaseException)]
    return _NONE in choices, others[0] if len(others) == 1 else Any


def _fields(told: Any) -> Iterable[Field]:
    try:
        hints = typing.get_type_hints(told, include_extras=True) if isinstance(told, type) else {}
    except Exception:  # noqa: BLE001 - the developer's annotations may raise whatever they like
        return ()
    if dataclasses.is_dataclass(told):
        names: Iterable[str] = [one.name for one in dataclasses.fields(told)]
    elif hasattr(told, "model_fields"):
        names = told.model_fields
    elif hasattr(told, "_fields"):
        names = told._fields
    elif hasattr(told, "__total__"):
        names = hints
    else:
        return ()
    left_out = getattr(told, "__optional_keys__", ())
    texts = {name: one.description or "" for name, one in getattr(told, "model_fields", {}).items()}
    return [_field(name, hints.get(name, Any), texts.get(name, ""), name in left_out) for name in names]


def _field(name: str, annotation: Any, text: str = "", may_miss: bool = False) -> Field:
    while hasattr(annotation, "__metadata__") or _marker(annotation):
        marker = _marker(annotation)
        may_miss = marker == "NotRequired" or (may_miss and marker != "Required")
        annotation = annotation.__origin__ if hasattr(annotation, "__metadata__") else typing.get_args(annotation)[0]
    return Field(name, Kind(_datatypes(annotation)), not (may_miss or _NONE in _choices(annotation)), text)


def _choices(annotation: Any) -> tuple[Any, ...]:
    """The types that it may be one of."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return tuple(dict.fromkeys(type(one) for one in arguments))
    return arguments if origin in UNIONS else (annotation,)


def _marker(annotation: Any) -> str:
    """TypedDict's words around a type, of `typing` or `typing_extensions`."""
    name = getattr(typing.get_origin(annotation), "_name", None)
    return name if name in ("NotRequired", "Required", "ReadOnly") else ""


def _datatypes(annotation: Any) -> tuple[str, ...]:
    """Those that a value of this type is answered with; none: any."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    origin, arguments, choices = typing.get_origin(annotation), typing.get_args(annotation), _choices(annotation)
    if choices != (annotation,):
        return _joined(_datatypes(one) for one in choices if one is not _NONE)
    if is_enum(annotation):
        return _joined(_datatypes(type(one.value)) for one in annotation)
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if _is_a(annotation, os.PathLike):
        return ("FILE",)
    if _is_a(annotation, _TEXTS):
        return ("str",)
    if _is_mapping(annotation) or _is_object(annotation):
        return ("dict",)
    if arguments and _is_a(origin, _LISTS):
        return _joined(_datatypes(one) for one in arguments if one is not ...)
    return ()


def _joined(found: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    listed = list(found)
    return tuple(dict.fromkeys(name for names in listed for name in names)) if all(listed) else ()


def _is_a(annotation: Any, kinds: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, kinds)


def _is_mapping(annotation: Any) -> bool:
    return _is_a(typing.get_origin(annotation) or annotation, Mapping) and not hasattr(annotation, "__total__")


def _is_object(annotation: Any) -> bool:
    return (
        dataclasses.is_dataclass(annotation) or hasattr(annotation, "model_fields") or hasattr(annotation, "__total__")
    )
