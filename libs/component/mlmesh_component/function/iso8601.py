"""ISO 8601 dates and times: accepts the same texts on every Python version. Pure."""

from __future__ import annotations

import datetime
import re
from typing import Any

from .items import format_value

FORMATS: dict[Any, str] = {datetime.datetime: "date-time", datetime.date: "date", datetime.time: "time"}
"""Format names of JSON Schema."""

EXAMPLES: dict[Any, str] = {
    datetime.datetime: "2026-01-31T12:00:00Z",
    datetime.date: "2026-01-31",
    datetime.time: "12:00:00",
}

_DATE = r"\d{4}-\d{2}-\d{2}"
_CLOCK = r"\d{2}:\d{2}(?::\d{2}(?:[.,](?P<fraction>\d{1,9}))?)?"
_OFFSET = r"(?P<offset>[Zz]|[+-]\d{2}:\d{2})?"
_PATTERNS = {
    datetime.datetime: re.compile(f"(?P<whole>{_DATE}[Tt ]{_CLOCK}){_OFFSET}", re.ASCII),
    datetime.date: re.compile(f"(?P<whole>{_DATE})", re.ASCII),
    datetime.time: re.compile(f"(?P<whole>{_CLOCK}){_OFFSET}", re.ASCII),
}


def parse_value(date_class: Any, value: Any) -> Any:
    """Parse a `datetime`, `date` or `time`; raises `ValueError`. Digits beyond microseconds are dropped."""
    match = _PATTERNS[date_class].fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            f"must be a {FORMATS[date_class]} in ISO 8601 like {EXAMPLES[date_class]}, not {format_value(value)}"
        )
    try:
        return date_class.fromisoformat(_normalize_text(match))
    except ValueError as error:
        raise ValueError(f"{value} is not a valid {FORMATS[date_class]}: {error}") from error


def _normalize_text(match: re.Match[str]) -> str:
    """Normalise for `fromisoformat`: before Python 3.11 it needs six digits of microseconds and knows no Z."""
    named = match.groupdict()
    text, fraction, offset = named["whole"], named.get("fraction"), named.get("offset") or ""
    if fraction:
        text = f"{text[: -len(fraction) - 1]}.{fraction[:6]:0<6}"
    return text.upper() + ("+00:00" if offset in ("Z", "z") else offset)
