"""JSON values as what annotations say: models, dataclasses, members of an Enum, dates, bytes. Pure."""

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
from .items import shown

Read = Callable[[Any], Any]
"""Of a JSON value what is annotated; raises `ValueError` with what is wrong."""

UNIONS = (Union, getattr(types, "UnionType", Union))
FORMATS: Mapping[Any, str] = {**iso8601.FORMATS, bytes: "byte"}
"""Annotations whose values are texts in JSON, and JSON Schema's name of their form."""

_PLAIN = (int, float, bool, str, list, dict)
_VALIDATORS = ("model_validate", "parse_obj")


class Misfit(ValueError):
    """What is wrong with a value, and where in it: `size`, `[2].size`."""

    def __init__(self, message: str, place: str = "") -> None:
        self.message, self.place = message, place
        super().__init__(f"{place.lstrip('.')}: {message}" if place else message)


def within(step: str, error: ValueError) -> Misfit:
    """The error of a part as the whole's."""
    if isinstance(error, Misfit):
        return Misfit(error.message, step + error.place)
    return Misfit(str(error), step)


def reader(annotation: Any) -> Read:
    """A value whose annotation says nothing to us passes as it is."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in UNIONS:
        return _union(arguments)
    if origin is typing.Literal or is_enum(annotation):
        return _choice(annotation)
    if annotation in iso8601.EXAMPLES:
        return functools.partial(iso8601.read, annotation)
    if annotation is bytes:
        return _bytes
    if arguments and origin in (list, collections.abc.Sequence):
        return functools.partial(each, reader(arguments[0]))
    if annotation in _PLAIN:
        return functools.partial(_plain, annotation)
    return _object(annotation)


def each(read: Read, values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise ValueError("must be a list")
    found: list[Any] = []
    try:
        for value in values:
            found.append(read(value))
    except ValueError as error:
        raise within(f"[{len(found)}]", error) from error
    return found


def _plain(annotation: type, value: Any) -> Any:
    if annotation is float and type(value) is int:
        return float(value)
    if type(value) is not annotation:
        raise ValueError(f"must be {annotation.__name__}, not {shown(value)}")
    return value


def _union(arguments: Sequence[Any]) -> Read:
    """The first that takes the value."""
    reads = [reader(one) for one in arguments if one is not type(None)]
    nullable = len(reads) < len(arguments)

    def read(value: Any) -> Any:
        return None if value is None and nullable else first(reads, value)

    return read


def first(reads: Sequence[Read], value: Any) -> Any:
    """What the first of them makes of it; what is wrong by each when none takes it."""
    errors: list[ValueError] = []
    for read in reads:
        try:
            return read(value)
        except ValueError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    raise ValueError("; or ".join(dict.fromkeys(str(error) for error in errors)))


# -- one of several


def is_enum(annotation: Any) -> bool:
    return typing.get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, enum.Enum)


def choices(annotation: Any) -> list[tuple[Any, Any]]:
    """The values that may come for a `Literal` or an `Enum`, each with what the function gets; None not among them."""
    if is_enum(annotation):
        return [(one.value, one) for one in annotation]
    pairs = [(one.value if isinstance(one, enum.Enum) else one, one) for one in typing.get_args(annotation)]
    return [pair for pair in pairs if pair[0] is not None]


def _choice(annotation: Any) -> Read:
    pairs = choices(annotation)
    nullable = not is_enum(annotation) and None in typing.get_args(annotation)
    allowed = ", ".join(repr(value) for value, _ in pairs)

    def read(value: Any) -> Any:
        if value is None and nullable:
            return None
        for choice, found in pairs:
            if choice == value and (type(choice) is type(value) or {type(choice), type(value)} == {int, float}):
                return found
        raise ValueError(f"must be one of {allowed}, not {shown(value)}")

    return read


def _bytes(value: Any) -> bytes:
    try:
        if len(value) % 4 == 0:
            return base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"must be bytes in base64, not {shown(value)}")


# -- objects


def is_object(annotation: Any) -> bool:
    """A pydantic model, of either version, or a dataclass."""
    return any(hasattr(annotation, name) for name in _VALIDATORS) or _is_dataclass(annotation)


def _is_dataclass(annotation: Any) -> bool:
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def _object(annotation: Any) -> Read:
    for name in _VALIDATORS:
        if hasattr(annotation, name):
            return _pydantic(getattr(annotation, name))
    return _Built(annotation) if _is_dataclass(annotation) else _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _pydantic(validate: Read) -> Read:
    def read(value: Any) -> Any:
        try:
            return validate(value)
        except ValueError as error:  # pydantic's own is one, in both of its versions
            listed = getattr(error, "errors", None)
            if listed is None:
                raise
            raise ValueError("; ".join(_place(one) for one in listed())) from error

    return read


def _place(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error.get("loc", ()))
    return f"{where}: {error['msg']}" if where else str(error["msg"])


class _Built:
    """A dataclass of a JSON object, its fields checked as far as their annotations say something."""

    def __init__(self, cls: Any) -> None:
        self._cls = cls
        self._fields = {one.name: one for one in dataclasses.fields(cls) if one.init}

    @functools.cached_property
    def _reads(self) -> dict[str, Read]:
        """Looked up late: a dataclass may hold itself."""
        hints = typing.get_type_hints(self._cls)
        return {name: reader(hints[name]) for name in self._fields}

    def __call__(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError("must be an object")
        for name in data:
            if name not in self._fields:
                raise Misfit(f"is not a field of {self._cls.__name__}", f".{name}")
        values: dict[str, Any] = {}
        for name, one in self._fields.items():
            if name in data:
                try:
                    values[name] = self._reads[name](data[name])
                except ValueError as error:
                    raise within(f".{name}", error) from error
            elif one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
                raise Misfit("is missing", f".{name}")
        return self._cls(**values)
