"""Lists in requests between services: an invalid entry is dropped, the others are processed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import AfterValidator, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from libs.common import log

Entry = TypeVar("Entry")
MAX_LOGGED_ENTRIES = 10
"""Invalid entries of one list that are logged."""


def _drop_invalid_entries(entries: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """The valid entries; an entry loses its invalid optional fields, or is dropped."""
    try:
        return validate(entries)
    except ValidationError as error:
        paths = {detail["loc"] for detail in error.errors() if detail["loc"]}
        if not isinstance(entries, list | tuple) or not paths:
            raise
    for path in sorted(paths, key=str)[:MAX_LOGGED_ENTRIES]:
        entry = describe_entry(entries[int(path[0])])
        log.get("http").warning("Dropped an invalid entry of a request", entry=entry, field=path[1:])
    return tuple(_validate_entries(entries, paths, validate))


def _validate_entries(
    entries: Sequence[Any], paths: set[tuple[int | str, ...]], validate: ValidatorFunctionWrapHandler
) -> Iterator[Any]:
    for number, entry in enumerate(entries):
        bad = {path[1] for path in paths if path[0] == number and len(path) > 1}
        fields = {name: value for name, value in entry.items() if name not in bad} if isinstance(entry, dict) else entry
        try:
            yield from validate([fields])
        except ValidationError:
            continue


TolerantList = Annotated[tuple[Entry, ...], WrapValidator(_drop_invalid_entries)]
"""A list of independent entries: invalid ones are logged and dropped."""


def _drop_invalid_values(entries: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """The valid entries; unlike an entry of a list, one that has an invalid field is dropped as a whole."""
    try:
        return validate(entries)
    except ValidationError as error:
        invalid = sorted({str(detail["loc"][0]) for detail in error.errors() if detail["loc"]})
        if not isinstance(entries, Mapping) or not invalid:
            raise
    for name in invalid[:MAX_LOGGED_ENTRIES]:
        log.get("http").warning("Dropped an invalid entry of a request", entry=name)
    return validate({name: value for name, value in entries.items() if name not in invalid})


TolerantMap = Annotated[dict[str, Entry], WrapValidator(_drop_invalid_values)]
"""Independent entries by name: invalid ones are logged and dropped."""


def _check_storable(value: Any) -> Any:
    """Raises ValueError for JSON that some component cannot store: numbers above 2⁶⁴, deep nesting."""
    try:
        orjson.dumps(value)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return value


StorableObject = Annotated[dict[str, Any], AfterValidator(_check_storable)]
"""A JSON object that can be stored and forwarded."""


def describe_entry(entry: Any) -> str:
    """The identifying fields of an entry, for the log."""
    names = ("task", "app", "component", "id", "name")
    identity = {name: entry[name] for name in names if name in entry} if isinstance(entry, Mapping) else entry
    return ascii(identity)[:200]
