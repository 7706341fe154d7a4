"""Lists in messages between services: an entry that cannot be taken is left out, and never the others with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import AfterValidator, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from libs.common import log

Entry = TypeVar("Entry")
MAX_LOGGED_ENTRIES = 10
"""Bad entries of one message that are named in the log."""


def _drop_invalid_entries(given: Any, whole: ValidatorFunctionWrapHandler) -> Any:
    """All that is good of a list: without the optional fields that cannot be taken, or else without the entry."""
    try:
        return whole(given)
    except ValidationError as error:
        places = {one["loc"] for one in error.errors() if one["loc"]}
        if not isinstance(given, list | tuple) or not places:
            raise
    for place in sorted(places, key=str)[:MAX_LOGGED_ENTRIES]:
        log.get("http").warning(
            "an entry of a message is left out", entry=describe_entry(given[int(place[0])]), field=place[1:]
        )
    return tuple(_validate_entries(given, places, whole))


def _validate_entries(
    given: Sequence[Any], places: set[tuple[int | str, ...]], whole: ValidatorFunctionWrapHandler
) -> Iterator[Any]:
    for number, entry in enumerate(given):
        bad = {place[1] for place in places if place[0] == number and len(place) > 1}
        rest = {name: value for name, value in entry.items() if name not in bad} if isinstance(entry, dict) else entry
        try:
            yield from whole([rest])
        except ValidationError:
            continue


TolerantList = Annotated[tuple[Entry, ...], WrapValidator(_drop_invalid_entries)]
"""Entries of a list that stand for themselves: a bad one is logged and left out."""


def _check_storable(value: Any) -> Any:
    """Raises ValueError for what JSON can say and not everybody can hold: numbers above 2⁶⁴, deep nesting."""
    try:
        orjson.dumps(value)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return value


StorableObject = Annotated[dict[str, Any], AfterValidator(_check_storable)]
"""A JSON object that can be kept and passed on."""


def describe_entry(entry: Any) -> str:
    """What an entry calls itself, for the log."""
    known = ("task", "app", "component", "id", "name")
    found = {name: entry[name] for name in known if name in entry} if isinstance(entry, Mapping) else entry
    return ascii(found)[:200]
