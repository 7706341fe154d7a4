"""Conditional and partial reads (RFC 9110, sections 13 and 14), decided from headers alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

ONE_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")


@dataclass(frozen=True)
class Span:
    """Bytes `start` up to, not including, `end`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Plan:
    """What to answer: 200 with all, 206 with the span, 304 and 416 with nothing."""

    status: int
    span: Span


def plan(headers: Mapping[str, str], etag: str, size: int) -> Plan:
    """`etag` is without quotes. Several ranges, and units that are not bytes, are answered with the whole."""
    whole = Span(0, size)
    if _matches(headers.get("if-none-match"), etag):
        return Plan(304, Span(0, 0))
    wanted = ONE_RANGE.fullmatch(headers.get("range", ""))
    if wanted is None or wanted[0].count("-") != 1 or wanted[1] == wanted[2] == "":
        return Plan(200, whole)
    if (condition := headers.get("if-range")) is not None and condition.strip() != f'"{etag}"':
        return Plan(200, whole)
    span = _span(wanted[1], wanted[2], size)
    return Plan(416, Span(0, 0)) if span is None else Plan(206, span)


def _span(first: str, last: str, size: int) -> Span | None:
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < int(first):
        return Span(0, size)
    return Span(start, end) if start < end else None


def _matches(given: str | None, etag: str) -> bool:
    """Weak comparison, as If-None-Match asks for."""
    if given is None:
        return False
    wanted = [one.strip().removeprefix("W/") for one in given.split(",")]
    return "*" in wanted or f'"{etag}"' in wanted
