"""Validators that convert JSON values to annotated types: models, dataclasses, Enum members, dates, bytes. Pure."""

from __future__ import annotations

import base64
import collections.abc
import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Union

from . import iso8601
from .items import format_value

Validator = Callable[[Any], Any]
"""Converts a JSON value to the annotated type; raises `ValueError` with the reason."""

UNIONS = (Union, getattr(types, "UnionType", Union))
FORMATS: Mapping[Any, str] = {**iso8601.FORMATS, bytes: "byte"}
"""Annotations whose values are texts in JSON, with their JSON Schema format."""

_JSON_TYPES = (int, float, bool, str, list, dict)
_PYDANTIC_METHODS = ("model_validate", "parse_obj")


class InvalidValue(ValueError):
    """A value is invalid; `path` says where in it: `size`, `[2].size`."""

    def __init__(self, message: str, path: str = "") -> None:
        self.message, self.path = message, path
        super().__init__(f"{path.lstrip('.')}: {message}" if path else message)


def prefix_path(step: str, error: ValueError) -> InvalidValue:
    """The same error with a path that starts one level higher."""
    if isinstance(error, InvalidValue):
        return InvalidValue(error.message, step + error.path)
    return InvalidValue(str(error), step)


def build_validator(annotation: Any) -> Validator:
    """Build the validator of an annotation; values of unknown types are not changed."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in UNIONS:
        return _union_validator(arguments)
    if origin is typing.Literal or is_enum(annotation):
        return _choice_validator(annotation)
    if annotation in iso8601.EXAMPLES:
        return functools.partial(iso8601.parse_value, annotation)
    if annotation is bytes:
        return _validate_base64
    if arguments and origin in (list, collections.abc.Sequence):
        return functools.partial(validate_list, build_validator(arguments[0]))
    if annotation in _JSON_TYPES:
        return functools.partial(_validate_type, annotation)
    return _object_validator(annotation)


def validate_list(validate: Validator, values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise ValueError("must be a list")
    elements: list[Any] = []
    try:
        for value in values:
            elements.append(validate(value))
    except ValueError as error:
        raise prefix_path(f"[{len(elements)}]", error) from error
    return elements


def _validate_type(annotation: type, value: Any) -> Any:
    if annotation is float and type(value) is int:
        return float(value)
    if type(value) is not annotation:
        raise ValueError(f"must be {annotation.__name__}, not {format_value(value)}")
    return value


def _union_validator(arguments: Sequence[Any]) -> Validator:
    """Try the members in order."""
    validators = [build_validator(argument) for argument in arguments if argument is not type(None)]
    nullable = len(validators) < len(arguments)

    def validate(value: Any) -> Any:
        return None if value is None and nullable else validate_first_match(validators, value)

    return validate


def validate_first_match(validators: Sequence[Validator], value: Any) -> Any:
    """Return the result of the first validator that accepts the value, or raise the reasons of all."""
    errors: list[ValueError] = []
    for validate in validators:
        try:
            return validate(value)
        except ValueError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    raise ValueError("; or ".join(dict.fromkeys(str(error) for error in errors)))


# -- Enum and Literal


def is_enum(annotation: Any) -> bool:
    return typing.get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, enum.Enum)


def list_choices(annotation: Any) -> list[tuple[Any, Any]]:
    """The JSON values of a `Literal` or an `Enum`, each with the value for the function; without None."""
    if is_enum(annotation):
        return [(member.value, member) for member in annotation]
    pairs = [
        (choice.value if isinstance(choice, enum.Enum) else choice, choice) for choice in typing.get_args(annotation)
    ]
    return [pair for pair in pairs if pair[0] is not None]


def _choice_validator(annotation: Any) -> Validator:
    pairs = list_choices(annotation)
    nullable = not is_enum(annotation) and None in typing.get_args(annotation)
    allowed = ", ".join(repr(value) for value, _ in pairs)

    def validate(value: Any) -> Any:
        if value is None and nullable:
            return None
        for choice, member in pairs:
            if choice == value and (type(choice) is type(value) or {type(choice), type(value)} == {int, float}):
                return member
        raise ValueError(f"must be one of {allowed}, not {format_value(value)}")

    return validate


def _validate_base64(value: Any) -> bytes:
    try:
        if len(value) % 4 == 0:
            return base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"must be bytes in base64, not {format_value(value)}")


# -- objects


def is_object(annotation: Any) -> bool:
    """Whether it is a pydantic model, of version 1 or 2, or a dataclass."""
    return any(hasattr(annotation, name) for name in _PYDANTIC_METHODS) or _is_dataclass(annotation)


def _is_dataclass(annotation: Any) -> bool:
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def _object_validator(annotation: Any) -> Validator:
    for name in _PYDANTIC_METHODS:
        if hasattr(annotation, name):
            return _pydantic_validator(getattr(annotation, name))
    return _DataclassValidator(annotation) if _is_dataclass(annotation) else _accept_value


def _accept_value(value: Any) -> Any:
    return value


def _pydantic_validator(validate_model: Validator) -> Validator:
    def validate(value: Any) -> Any:
        try:
            return validate_model(value)
        except ValueError as error:  # the base of pydantic's ValidationError in both versions
            list_errors = getattr(error, "errors", None)
            if list_errors is None:
                raise
            raise ValueError("; ".join(_format_error(details) for details in list_errors())) from error

    return validate


def _format_error(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error.get("loc", ()))
    return f"{where}: {error['msg']}" if where else str(error["msg"])


class _DataclassValidator:
    """Builds a dataclass from a JSON object; validates fields whose annotations are known."""

    def __init__(self, cls: Any) -> None:
        self._cls = cls
        self._fields = {field.name: field for field in dataclasses.fields(cls) if field.init}

    @functools.cached_property
    def _validators(self) -> dict[str, Validator]:
        """Built lazily: a dataclass may refer to itself."""
        hints = typing.get_type_hints(self._cls)
        return {name: build_validator(hints[name]) for name in self._fields}

    def __call__(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError("must be an object")
        for name in data:
            if name not in self._fields:
                raise InvalidValue(f"is not a field of {self._cls.__name__}", f".{name}")
        values: dict[str, Any] = {}
        for name, field in self._fields.items():
            if name in data:
                try:
                    values[name] = self._validators[name](data[name])
                except ValueError as error:
                    raise prefix_path(f".{name}", error) from error
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise InvalidValue("is missing", f".{name}")
        return self._cls(**values)
