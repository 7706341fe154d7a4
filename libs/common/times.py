"""Timestamps of the API: ISO 8601, UTC, milliseconds. Internally, a time is epoch seconds of the database clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


@overload
def iso_time(epoch: float) -> str: ...
@overload
def iso_time(epoch: None) -> None: ...
def iso_time(epoch: float | None) -> str | None:
    if epoch is None:
        return None
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
