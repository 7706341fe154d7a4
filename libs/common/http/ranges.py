"""Conditional and range requests (RFC 9110, sections 13 and 14). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.http.conditions import Conditions, Version

ONE_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Span:
    """Bytes `start` up to, not including, `end`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class RangeDecision:
    """The response: 200 with the file, 206 with the span, 304 and 416 without a body."""

    status: int
    span: Span


def decide_range(headers: Mapping[str, str], etag: str, size: int, modified: float | None = None) -> RangeDecision:
    """`etag` is without quotes. Several ranges, and other units than bytes, get the complete file.

    Raises PreconditionFailed if the client requires another version, Malformed for invalid tags.
    """
    everything, current = Span(0, size), Version(etag, modified)
    conditions = Conditions.from_headers(headers)
    conditions.check_read(current)
    if conditions.is_known_version(current):
        return RangeDecision(304, Span(0, 0))
    requested = _parse_range(headers.get("range", ""))
    if requested is None:
        return RangeDecision(200, everything)
    if (condition := headers.get("if-range")) is not None and condition.strip() != f'"{etag}"':
        return RangeDecision(200, everything)
    span = _resolve_span(*requested, size)
    return RangeDecision(206, span) if span.length > 0 else RangeDecision(416, Span(0, 0))


def _parse_range(header: str) -> tuple[int | None, int | None] | None:
    """First and last byte, or None and the length of a suffix; None unless it is one valid range."""
    match = ONE_RANGE.fullmatch(header)
    if match is None or not (match[1] or match[2]):
        return None
    first, last = (int(text) if text else None for text in match.groups())
    return None if first is not None and last is not None and last < first else (first, last)


def _resolve_span(first: int | None, last: int | None, size: int) -> Span:
    if first is None:
        return Span(max(0, size - (last or 0)), size)
    return Span(first, size if last is None else min(size, last + 1))
