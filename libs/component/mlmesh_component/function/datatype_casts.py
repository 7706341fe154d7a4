"""The datatype of elements, and the same elements in one that is declared. Pure.

None in a list of numbers is not-a-number; in a list of texts or objects it stays.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from .items import FLOATS, INTEGERS, NUMBERS, RANGES, ItemError, shown

_NONE = type(None)


def typed(flat: list[Any], declared: Sequence[str], natural: str | None) -> tuple[str, list[Any]]:
    """The datatype that the elements have by themselves, and all of one type; a gap among numbers is not-a-number."""
    kinds = set(map(type, flat))
    if kinds == {float}:
        return natural or "FP64", flat
    if kinds == {int}:
        return natural or "INT64", flat
    if kinds == {bool}:
        return "BOOL", flat
    given = kinds - {_NONE}
    for kind in (str, dict):
        if given == {kind} or (not given and kind.__name__ in (natural, *declared)):
            return kind.__name__, flat
    return _with_gaps(flat, given, declared, natural)


def _with_gaps(
    flat: list[Any], given: set[type], declared: Sequence[str], natural: str | None
) -> tuple[str, list[Any]]:
    """Numbers of both kinds, or with elements that have no value; of pandas' texts these are not-a-number."""
    floats = [one for one in declared if one in FLOATS]
    if given <= {float, int} and (given or floats):
        if declared and not floats and None in flat:
            raise _gap(declared[0])
        return "FP32" if natural == "FP32" else "FP64", _floats(flat)
    if given == {bool}:
        raise _gap("BOOL")
    if len(given) == 2 and float in given and all(math.isnan(one) for one in flat if type(one) is float):
        return typed([None if type(one) is float else one for one in flat], declared, natural)
    names = sorted(kind.__name__ for kind in set(map(type, flat)))
    raise ItemError("a list of " + " and ".join(names) + " has no datatype")


def _gap(datatype: str) -> ItemError:
    return ItemError(f"an element has no value, and {datatype} has nothing for that")


def fitted(natural: str, flat: list[Any], declared: Sequence[str]) -> tuple[str, list[Any]]:
    """The first possible datatype that can hold all of them."""
    possible = [natural] if natural in declared or not declared else []
    if natural in NUMBERS:
        others = [one for one in declared if one in NUMBERS and one != natural]
        possible += sorted(others, key=lambda one: natural in FLOATS and one not in FLOATS)
    wrong: ItemError | None = None
    for datatype in possible:
        try:
            return datatype, _cast(datatype, flat)
        except ItemError as error:
            wrong = wrong or error
    if wrong is not None:
        raise wrong
    return natural, flat


def _cast(datatype: str, flat: list[Any]) -> list[Any]:
    """Numbers as those of this datatype; `ItemError` names the first that does not fit."""
    if datatype in INTEGERS:
        whole = flat if type(flat[0]) is int else [_whole(one, datatype) for one in flat]
        limit = RANGES[datatype]
        if min(whole) < -limit or max(whole) >= limit:
            raise _too_large(datatype, next(one for one in whole if not -limit <= one < limit))
        return whole
    if datatype in FLOATS:
        numbers = flat if type(flat[0]) is float else _floats(flat)
        return _singles(numbers) if datatype == "FP32" else numbers
    return flat


def _whole(number: float, datatype: str) -> int:
    if not number.is_integer():
        raise ItemError(f"{number!r} is not a whole number, but {datatype} is declared")
    return int(number)


def _floats(numbers: Sequence[Any]) -> list[float]:
    try:
        return [math.nan if one is None else float(one) for one in numbers]
    except OverflowError as error:
        raise _too_large("FP64", max(filter(None, numbers), key=abs)) from error


def _singles(numbers: list[float]) -> list[float]:
    """Infinity is one of them; what becomes infinite is too large."""
    try:
        struct.pack(f"<{len(numbers)}f", *numbers)
    except OverflowError as error:
        raise _too_large("FP32", max(filter(math.isfinite, numbers), key=abs)) from error
    return numbers


def _too_large(datatype: str, number: float) -> ItemError:
    return ItemError(f"{shown(number)} does not fit into {datatype}")
