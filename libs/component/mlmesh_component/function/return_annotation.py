"""Outputs from a return annotation: a TypedDict, dataclass, NamedTuple or pydantic model. Pure.

`dict[str, X]` declares the type of the outputs, not their names. Other annotations are ignored.
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

from .schema import Field, FieldType, Schema
from .validators import UNIONS, is_enum

_SCALARS = {
    bool: ("BOOL",),
    int: ("INT64", "INT32"),
    float: ("FP64", "FP32"),
    str: ("str",),
}
_TEXTS = (datetime.date, datetime.time, uuid.UUID, decimal.Decimal)
_ITERABLES = (collections.abc.Iterable, collections.abc.AsyncIterable)
_LISTS = (collections.abc.Sequence, collections.abc.Set, collections.abc.ValuesView)
_NONE = type(None)


def add_outputs(schema: Schema, annotation: Any, *, batched: bool = False) -> Schema:
    """Add the outputs of the return annotation to the schema of a docstring."""
    optional, answer_type = _unwrap_optional(_get_answer_annotation(annotation, batched))
    if _is_mapping(answer_type):
        arguments = typing.get_args(answer_type)
        return (
            dataclasses.replace(schema, default_output=_build_field("", arguments[1]))
            if len(arguments) == 2
            else schema
        )
    annotated = {
        field.name: dataclasses.replace(field, required=field.required and not optional)
        for field in _list_fields(answer_type)
    }
    documented = tuple(_merge_fields(field, annotated.pop(field.name, None)) for field in schema.outputs)
    return dataclasses.replace(schema, outputs=documented + tuple(annotated.values()))


def _merge_fields(documented: Field, annotated: Field | None) -> Field:
    """Merge two declarations; the docstring's wins over the annotation's."""
    if annotated is None:
        return documented
    field_type = documented.type if documented.type.datatypes else annotated.type
    return Field(
        documented.name,
        field_type,
        documented.required and annotated.required,
        documented.description or annotated.description,
    )


def _get_answer_annotation(annotation: Any, batched: bool) -> Any:
    """The annotation of one result: the element of a batch's list, or of an iterator."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    is_iterable = (
        isinstance(origin, type) and issubclass(origin, _ITERABLES) and not issubclass(origin, collections.abc.Mapping)
    )
    if not is_iterable or (issubclass(origin, _LISTS) and not batched):
        return annotation
    return arguments[0]


def _unwrap_optional(annotation: Any) -> tuple[bool, Any]:
    """Whether it may be None, and its one other type; exceptions in batch results are ignored."""
    choices = _list_choices(annotation)
    alternatives = [choice for choice in choices if choice is not _NONE and not _is_subclass(choice, BaseException)]
    return _NONE in choices, alternatives[0] if len(alternatives) == 1 else Any


def _list_fields(answer_type: Any) -> Iterable[Field]:
    try:
        hints = typing.get_type_hints(answer_type, include_extras=True) if isinstance(answer_type, type) else {}
    except Exception:  # noqa: BLE001 - the developer's annotations may raise anything
        return ()
    if dataclasses.is_dataclass(answer_type):
        names: Iterable[str] = [field.name for field in dataclasses.fields(answer_type)]
    elif hasattr(answer_type, "model_fields"):
        names = answer_type.model_fields
    elif hasattr(answer_type, "_fields"):
        names = answer_type._fields
    elif hasattr(answer_type, "__total__"):
        names = hints
    else:
        return ()
    optional_keys = getattr(answer_type, "__optional_keys__", ())
    texts = {name: field.description or "" for name, field in getattr(answer_type, "model_fields", {}).items()}
    return [_build_field(name, hints.get(name, Any), texts.get(name, ""), name in optional_keys) for name in names]


def _build_field(name: str, annotation: Any, text: str = "", is_optional: bool = False) -> Field:
    while hasattr(annotation, "__metadata__") or _get_marker(annotation):
        marker = _get_marker(annotation)
        is_optional = marker == "NotRequired" or (is_optional and marker != "Required")
        annotation = annotation.__origin__ if hasattr(annotation, "__metadata__") else typing.get_args(annotation)[0]
    return Field(
        name, FieldType(_resolve_datatypes(annotation)), not (is_optional or _NONE in _list_choices(annotation)), text
    )


def _list_choices(annotation: Any) -> tuple[Any, ...]:
    """The member types of a union or `Literal`."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return tuple(dict.fromkeys(type(value) for value in arguments))
    return arguments if origin in UNIONS else (annotation,)


def _get_marker(annotation: Any) -> str:
    """`NotRequired`, `Required` or `ReadOnly` of a TypedDict, of `typing` or `typing_extensions`; otherwise ""."""
    name = getattr(typing.get_origin(annotation), "_name", None)
    return name if name in ("NotRequired", "Required", "ReadOnly") else ""


def _resolve_datatypes(annotation: Any) -> tuple[str, ...]:
    """The datatypes of outputs of this type; empty: any."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    origin, arguments, choices = typing.get_origin(annotation), typing.get_args(annotation), _list_choices(annotation)
    if choices != (annotation,):
        return _join_datatypes(_resolve_datatypes(choice) for choice in choices if choice is not _NONE)
    if is_enum(annotation):
        return _join_datatypes(_resolve_datatypes(type(member.value)) for member in annotation)
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if _is_subclass(annotation, os.PathLike):
        return ("FILE",)
    if _is_subclass(annotation, _TEXTS):
        return ("str",)
    if _is_mapping(annotation) or _is_object(annotation):
        return ("dict",)
    if arguments and _is_subclass(origin, _LISTS):
        return _join_datatypes(_resolve_datatypes(choice) for choice in arguments if choice is not ...)
    return ()


def _join_datatypes(groups: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    datatypes = list(groups)
    return tuple(dict.fromkeys(name for names in datatypes for name in names)) if all(datatypes) else ()


def _is_subclass(annotation: Any, classes: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, classes)


def _is_mapping(annotation: Any) -> bool:
    return _is_subclass(typing.get_origin(annotation) or annotation, Mapping) and not hasattr(annotation, "__total__")


def _is_object(annotation: Any) -> bool:
    return (
        dataclasses.is_dataclass(annotation) or hasattr(annotation, "model_fields") or hasattr(annotation, "__total__")
    )
