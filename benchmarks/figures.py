"""What a benchmark found, and whether it is within its limit."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WITHIN, OVER, INCOMPLETE = 0, 1, 2
"""Exit codes. A figure that is missing is no pass."""


@dataclass(frozen=True)
class Figure:
    """`value` and `limit` in `unit`; `note` says what the value is made of."""

    name: str
    value: float
    limit: float
    unit: str
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.value / self.limit

    def line(self) -> str:
        verdict = "" if self.ratio <= 1 else "  OVER"
        return (
            f"{self.name:<36} {self.value:8.1f} {self.unit:<2} of {self.limit:6.1f}   ratio {self.ratio:5.2f}{verdict}"
            + (f"   ({self.note})" if self.note else "")
        )


@dataclass(frozen=True)
class Unmeasured:
    """A figure, or a whole benchmark, that could not be had here."""

    name: str
    reason: str

    def line(self) -> str:
        return f"{self.name:<36} NOT MEASURED   ({self.reason})"


Finding = Figure | Unmeasured


def exit_code(found: Sequence[Finding]) -> int:
    if any(isinstance(one, Figure) and one.ratio > 1 for one in found):
        return OVER
    return INCOMPLETE if not found or any(isinstance(one, Unmeasured) for one in found) else WITHIN


def median_ms(seconds: Iterable[float]) -> float:
    return statistics.median(seconds) * 1000
