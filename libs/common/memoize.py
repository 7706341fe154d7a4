"""Memoizes by object identity: for immutable values that are expensive to hash and compare."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

MAX_ENTRIES = 1024

Value = TypeVar("Value")
Result = TypeVar("Result")


def memoize_by_identity(function: Callable[[Value], Result]) -> Callable[[Value], Result]:
    """Calls `function` once per object, not once per equal value. Callers must not change its result.

    Keeps the latest MAX_ENTRIES results.
    """
    cache: OrderedDict[int, tuple[Value, Result]] = OrderedDict()

    @wraps(function)
    def call_once(value: Value) -> Result:
        entry = cache.get(id(value))
        if entry is not None and entry[0] is value:
            return entry[1]
        result = function(value)
        cache[id(value)] = value, result  # holds the value, so that no other object gets its id
        if len(cache) > MAX_ENTRIES:
            cache.popitem(last=False)
        return result

    return call_once
