"""Results that are kept by the value they were made of: for values that never change, and are many to compare."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

MAX_ENTRIES = 1024

Value = TypeVar("Value")
Result = TypeVar("Result")


def memoize_by_identity(function: Callable[[Value], Result]) -> Callable[[Value], Result]:
    """`function`, asked once for each value: for this very object, not for one that is like it.

    The latest results are kept; nobody may change them.
    """
    found: OrderedDict[int, tuple[Value, Result]] = OrderedDict()

    @wraps(function)
    def asked(value: Value) -> Result:
        known = found.get(id(value))
        if known is not None and known[0] is value:
            return known[1]
        result = function(value)
        found[id(value)] = value, result  # with the value itself, so that its id is not another's
        if len(found) > MAX_ENTRIES:
            found.popitem(last=False)
        return result

    return asked
