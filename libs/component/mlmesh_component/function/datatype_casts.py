"""Datatypes of elements: inferred from the values, then cast to a declared datatype. Pure.

None in a list of numbers becomes NaN; in a list of texts or objects it stays.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from .items import FLOATS, INTEGERS, NUMBERS, RANGES, ItemError, format_value

_NONE = type(None)


def infer_datatype(flat: list[Any], declared: Sequence[str], natural: str | None) -> tuple[str, list[Any]]:
    """Infer the datatype of the elements, and make them one type; a missing value among numbers becomes NaN."""
    element_types = set(map(type, flat))
    if element_types == {float}:
        return natural or "FP64", flat
    if element_types == {int}:
        return natural or "INT64", flat
    if element_types == {bool}:
        return "BOOL", flat
    value_types = element_types - {_NONE}
    for element_type in (str, dict):
        if value_types == {element_type} or (not value_types and element_type.__name__ in (natural, *declared)):
            return element_type.__name__, flat
    return _infer_with_missing(flat, value_types, declared, natural)


def _infer_with_missing(
    flat: list[Any], value_types: set[type], declared: Sequence[str], natural: str | None
) -> tuple[str, list[Any]]:
    """Infer for integers mixed with floats, and for missing values, which are NaN among texts of pandas."""
    floats = [datatype for datatype in declared if datatype in FLOATS]
    if value_types <= {float, int} and (value_types or floats):
        if declared and not floats and None in flat:
            raise _missing_value_error(declared[0])
        return "FP32" if natural == "FP32" else "FP64", _to_floats(flat)
    if value_types == {bool}:
        raise _missing_value_error("BOOL")
    if (
        len(value_types) == 2
        and float in value_types
        and all(math.isnan(value) for value in flat if type(value) is float)
    ):
        return infer_datatype([None if type(value) is float else value for value in flat], declared, natural)
    names = sorted(element_type.__name__ for element_type in set(map(type, flat)))
    raise ItemError("a list of " + " and ".join(names) + " has no datatype")


def _missing_value_error(datatype: str) -> ItemError:
    return ItemError(f"an element has no value, which {datatype} cannot represent")


def cast_to_declared(natural: str, flat: list[Any], declared: Sequence[str]) -> tuple[str, list[Any]]:
    """Cast the elements to the first possible datatype that can represent all of them."""
    possible = [natural] if natural in declared or not declared else []
    if natural in NUMBERS:
        alternatives = [datatype for datatype in declared if datatype in NUMBERS and datatype != natural]
        possible += sorted(alternatives, key=lambda datatype: natural in FLOATS and datatype not in FLOATS)
    first_error: ItemError | None = None
    for datatype in possible:
        try:
            return datatype, _cast_elements(datatype, flat)
        except ItemError as error:
            first_error = first_error or error
    if first_error is not None:
        raise first_error
    return natural, flat


def _cast_elements(datatype: str, flat: list[Any]) -> list[Any]:
    """Cast numbers to the datatype; raises `ItemError` with the first that does not fit."""
    if datatype in INTEGERS:
        integers = flat if type(flat[0]) is int else [_to_integer(number, datatype) for number in flat]
        limit = RANGES[datatype]
        if min(integers) < -limit or max(integers) >= limit:
            raise _range_error(datatype, next(number for number in integers if not -limit <= number < limit))
        return integers
    if datatype in FLOATS:
        numbers = flat if type(flat[0]) is float else _to_floats(flat)
        return _check_singles(numbers) if datatype == "FP32" else numbers
    return flat


def _to_integer(number: float, datatype: str) -> int:
    if not number.is_integer():
        raise ItemError(f"{number!r} is not a whole number, but {datatype} is declared")
    return int(number)


def _to_floats(numbers: Sequence[Any]) -> list[float]:
    try:
        return [math.nan if number is None else float(number) for number in numbers]
    except OverflowError as error:
        raise _range_error("FP64", max(filter(None, numbers), key=abs)) from error


def _check_singles(numbers: list[float]) -> list[float]:
    """Check the range of FP32. Infinity is allowed; a finite number that would become infinite is not."""
    try:
        struct.pack(f"<{len(numbers)}f", *numbers)
    except OverflowError as error:
        raise _range_error("FP32", max(filter(math.isfinite, numbers), key=abs)) from error
    return numbers


def _range_error(datatype: str, number: float) -> ItemError:
    return ItemError(f"{format_value(number)} does not fit into {datatype}")
