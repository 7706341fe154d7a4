"""Times as a person reads them; the mesh gives ISO 8601 in UTC, which JSON keeps."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from services.cli.cli_errors import WrongUsage

UNITS_S = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def moment(given: Any) -> str:
    """`2026-11-28 23:56:01 UTC`."""
    found = _read(given)
    return found.strftime("%Y-%m-%d %H:%M:%S UTC") if found else str(given or "")


def age(given: Any, now: datetime | None = None) -> str:
    """`5 min ago`, `in 3 h`: what a column has room for."""
    found = _read(given)
    if found is None:
        return str(given or "")
    seconds = ((now or datetime.now(UTC)) - found).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{length(seconds)} ago" if seconds > 0 else f"in {length(-seconds)}"


def between(begun: Any, ended: Any) -> str:
    """How long it took; nothing when one of the two is not known."""
    start, end = _read(begun), _read(ended)
    return length((end - start).total_seconds()) if start and end else ""


def length(seconds: float) -> str:
    """In the largest unit of which there are two, so that the error is below a half."""
    for unit, size in UNITS_S:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.0):.1f} s"


def duration(text: str) -> float:
    """Seconds of `30`, `30s`, `10m`, `2h`. Raises WrongUsage."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*(s|m|min|h|d)?", text.strip(), re.ASCII)
    if found is None:
        raise WrongUsage(f"{text} is no duration; write 30s, 10m or 2h")
    return float(found[1]) * SECONDS[found[2] or "s"]


def _read(given: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
