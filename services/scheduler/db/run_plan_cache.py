"""Plans of runs, kept: they never change, and of a run with many stages they are most of its row."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

STAGES = 20_000
"""Of how many stages plans are kept."""


class Plans:
    def __init__(self, stages: int = STAGES) -> None:
        self._most = stages
        self._stages = 0
        self._kept: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def get(self, run: str) -> dict[str, Any] | None:
        return self._kept.get(run)

    def keep(self, run: str, plan: dict[str, Any]) -> None:
        """The plans that were longest of no use make room."""
        if run not in self._kept:
            self._stages += _stages(plan)
        self._kept[run] = plan
        self._kept.move_to_end(run)
        while self._stages > self._most and len(self._kept) > 1:
            self._stages -= _stages(self._kept.popitem(last=False)[1])


def _stages(plan: dict[str, Any]) -> int:
    return 1 + len(plan.get("stages", ()))
