"""Annotations of parameters as field types: accepted datatypes, and the conversion of an item to the value. Pure."""

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
from .items import DATATYPES, INTEGERS, NUMBERS, TENSORS, BinaryElements, Item
from .schema import FieldType, SchemaError, get_data

_DTYPES = {"FP32": "float32", "FP64": "float64", "INT32": "int32", "INT64": "int64", "BOOL": "bool"}
_NUMBERS_OF = {float: NUMBERS, int: INTEGERS, bool: ("BOOL",)}
_ELEMENTS = "numbers, bool, str, dict, models, members of an Enum, dates or bytes"
_BASE64 = validators.build_validator(bytes)


def resolve_type(annotation: Any) -> FieldType:
    """The field type of an annotation; raises `SchemaError` if no datatype corresponds to it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (Any, object, inspect.Parameter.empty):
        return FieldType(scalar=True, listed=True)
    if origin in validators.UNIONS:
        return _resolve_union(arguments)
    if origin is typing.Literal or validators.is_enum(annotation):
        return _resolve_choice(annotation)
    if annotation in _NUMBERS_OF:
        return FieldType(_NUMBERS_OF[annotation], lambda item: annotation(_get_single_value(item)), scalar=True)
    if annotation is str:
        return FieldType(("str",), takes_any=True)
    if annotation is bytes:
        return FieldType(("str", "FILE"), _convert_bytes, binary=True, format=validators.FORMATS[bytes])
    if annotation in validators.FORMATS:
        validate = validators.build_validator(annotation)
        return FieldType(("str",), lambda item: validate(item["data"]), format=validators.FORMATS[annotation])
    if annotation in (list, tuple) or origin in (list, tuple) or _has_name(origin, "Sequence"):
        return _resolve_list(arguments)
    if _has_name(origin or annotation, "ndarray"):
        return FieldType(TENSORS, _convert_array, binary=True)
    if origin is None and isinstance(annotation, type) and issubclass(annotation, pathlib.PurePath):
        return FieldType(("FILE",), lambda item: pathlib.Path(item["data"]))
    return _resolve_object(origin or annotation)


def make_nullable(field_type: FieldType) -> FieldType:
    """The same type that also accepts None."""
    if field_type.nullable:
        return field_type
    return dataclasses.replace(
        field_type, nullable=True, convert=lambda item: None if item["data"] is None else field_type.convert(item)
    )


def _has_name(annotation: Any, name: str) -> bool:
    return getattr(annotation, "__name__", "") == name


def _get_single_value(item: Item) -> Any:
    data = item["data"]
    if not isinstance(data, list):
        return data
    if len(data) != 1:
        raise ValueError(f"must be one value, not {len(data)}")
    return data[0]


def _resolve_union(arguments: Sequence[Any]) -> FieldType:
    """Choose a member by the item's datatype, the narrower one for numbers, then the first that accepts the value."""
    annotations = [annotation for annotation in arguments if annotation is not type(None)]
    members = tuple(resolve_type(annotation) for annotation in annotations)
    if len(members) == 1:
        return make_nullable(members[0])
    for (first_annotation, first_type), (second_annotation, second_type) in itertools.combinations(
        zip(annotations, members), 2
    ):
        _check_distinct(first_annotation, first_type, second_annotation, second_type)
    narrowest_first = sorted(members, key=lambda member: len(member.datatypes or DATATYPES))

    def convert(item: Item) -> Any:
        converters = [member.convert for member in narrowest_first if _accepts_item(member, item)]
        if not converters:
            raise ValueError("must be a list" if not isinstance(item["data"], list) else "must not be a list")
        return validators.validate_first_match(converters, item)

    union_type = FieldType(
        tuple(dict.fromkeys(name for member in members for name in member.datatypes)),
        convert,
        scalar=any(member.scalar for member in members),
        single=any(member.single for member in members if not _is_tensor_type(member)),
        listed=any(member.listed for member in members),
        members=members,
    )
    return make_nullable(union_type) if len(members) < len(arguments) else union_type


def _accepts_item(field_type: FieldType, item: Item) -> bool:
    datatype = item["datatype"]
    if field_type.datatypes and datatype not in field_type.datatypes:
        return False
    return datatype in TENSORS or (field_type.listed if isinstance(item["data"], list) else field_type.single)


def _is_tensor_type(field_type: FieldType) -> bool:
    return bool(field_type.datatypes) and set(field_type.datatypes) <= set(TENSORS)


def _check_distinct(
    first_annotation: Any, first_type: FieldType, second_annotation: Any, second_type: FieldType
) -> None:
    """Raise `SchemaError` if two members of a union cannot be distinguished."""
    shared = set(first_type.datatypes or DATATYPES) & set(second_type.datatypes or DATATYPES) - set(TENSORS)
    if not shared or not ((first_type.single and second_type.single) or (first_type.listed and second_type.listed)):
        return
    first, second = _get_name(first_annotation), _get_name(second_annotation)
    if first_type.takes_any:
        raise SchemaError(f"{second} is never reached behind {first}: write {first} last")
    if "str" in shared and validators.FORMATS[bytes] in (first_type.format, second_type.format):
        raise SchemaError(f"{first} and {second} cannot be distinguished: both are sent as text")


def _get_name(annotation: Any) -> str:
    return (
        getattr(annotation, "__name__", str(annotation)) if typing.get_origin(annotation) is None else str(annotation)
    )


def _resolve_choice(annotation: Any) -> FieldType:
    allowed = tuple(value for value, _ in validators.list_choices(annotation))
    for value in allowed:
        if type(value) not in (*_NUMBERS_OF, str):
            raise SchemaError(f"{_get_name(annotation)} has the value {value!r}; values are str, int, float or bool")
    if not allowed:
        raise SchemaError(f"{_get_name(annotation)} has no values")
    names = dict.fromkeys(name for value in allowed for name in resolve_type(type(value)).datatypes)
    validate = validators.build_validator(annotation)
    choice_type = FieldType(tuple(names), lambda item: validate(_get_single_value(item)), scalar=True, choices=allowed)
    return make_nullable(choice_type) if None in typing.get_args(annotation) else choice_type


def _resolve_list(arguments: Sequence[Any]) -> FieldType:
    element = arguments[0] if arguments else float
    if element in _NUMBERS_OF:
        return FieldType(_NUMBERS_OF[element], _number_converter(element) if arguments else get_data)
    element_type = FieldType() if element is Any else resolve_type(element)
    datatypes = tuple(name for name in element_type.datatypes if name != "FILE")
    if (
        not datatypes
        or element_type.nullable
        or element_type.members
        or not (element_type.scalar if _is_tensor_type(element_type) else element_type.single)
    ):
        raise SchemaError(f"a list of {_get_name(element)} is not supported; a list may hold {_ELEMENTS}")

    def convert(item: Item) -> list[Any]:
        datatype = item["datatype"]
        try:
            return validators.validate_list(
                lambda value: element_type.convert({"datatype": datatype, "data": value}), item["data"]
            )
        except validators.InvalidValue as error:
            raise validators.prefix_path("data", error) from error

    return dataclasses.replace(
        element_type,
        datatypes=datatypes,
        convert=_convert_texts if element_type.takes_any else convert,
        scalar=False,
        single=False,
        listed=True,
    )


def _convert_texts(item: Item) -> Any:
    if not isinstance(item["data"], list):
        raise ValueError("must be a list")
    return item["data"]


def _number_converter(element: Any) -> Callable[[Item], list[Any]]:
    def convert(item: Item) -> list[Any]:
        if not isinstance(item["data"], list):
            raise ValueError("must be a list")
        return [element(value) for value in item["data"]]

    return convert


def _convert_bytes(item: Item) -> bytes:
    """The bytes of a tensor's element, of a file, or of a text in base64."""
    data = item["data"]
    if isinstance(data, BinaryElements):
        return data.content
    return pathlib.Path(data).read_bytes() if item["datatype"] == "FILE" else _BASE64(data)


def _convert_array(item: Item) -> Any:
    numpy = importlib.import_module("numpy")
    data, dtype = item["data"], _DTYPES[item["datatype"]]
    if isinstance(data, BinaryElements):
        array = numpy.frombuffer(data.content, data.code).astype(dtype)
    else:
        array = numpy.asarray(data, dtype=dtype)
    shape = item.get("shape")
    return array.reshape(shape) if isinstance(shape, list) else array


def _resolve_object(annotation: Any) -> FieldType:
    if _has_name(annotation, "Mapping") or (isinstance(annotation, type) and issubclass(annotation, dict)):
        return FieldType(("dict",), takes_any=True)
    if not validators.is_object(annotation):
        raise SchemaError(f"there is no datatype for {annotation!r}")
    validate = validators.build_validator(annotation)
    return FieldType(("dict",), lambda item: validate(item["data"]))
