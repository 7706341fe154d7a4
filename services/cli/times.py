"""Formats times for people; the mesh sends ISO 8601 in UTC, which JSON output keeps."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from services.cli.cli_errors import WrongUsage

UNITS_S = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def format_time(iso: Any) -> str:
    """`2026-11-28 23:56:01 UTC`."""
    time = _parse_time(iso)
    return time.strftime("%Y-%m-%d %H:%M:%S UTC") if time else str(iso or "")


def format_age(iso: Any, now: datetime | None = None) -> str:
    """`5 min ago`, `in 3 h`: short enough for a table column."""
    time = _parse_time(iso)
    if time is None:
        return str(iso or "")
    seconds = ((now or datetime.now(UTC)) - time).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{format_duration(seconds)} ago" if seconds > 0 else f"in {format_duration(-seconds)}"


def format_interval(started_at: Any, finished_at: Any) -> str:
    """The duration between two times; empty if one is unknown."""
    start, end = _parse_time(started_at), _parse_time(finished_at)
    return format_duration((end - start).total_seconds()) if start and end else ""


def format_duration(seconds: float) -> str:
    """In the largest unit of which there are at least two, so that the rounding error stays below half."""
    for unit, size in UNITS_S:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.0):.1f} s"


def parse_duration(text: str) -> float:
    """Seconds of `30`, `30s`, `10m`, `2h`. Raises WrongUsage."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*(s|m|min|h|d)?", text.strip(), re.ASCII)
    if match is None:
        raise WrongUsage(f"{text} is no duration; write 30s, 10m or 2h")
    return float(match[1]) * SECONDS[match[2] or "s"]


def _parse_time(iso: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(iso)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
