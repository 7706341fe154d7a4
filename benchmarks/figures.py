"""What a benchmark found, and whether it is within its limit."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


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
            f"{self.name:<34} {self.value:8.1f} {self.unit:<2} of {self.limit:6.1f}   ratio {self.ratio:5.2f}{verdict}"
            + (f"   ({self.note})" if self.note else "")
        )


def median_ms(seconds: Iterable[float]) -> float:
    return statistics.median(seconds) * 1000
