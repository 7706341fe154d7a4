"""Plans of runs, kept: they never change, and of a run with many stages they are most of its row."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

MAX_STAGES = 20_000
"""Of how many stages plans are kept."""


class RunPlanCache:
    def __init__(self, max_stages: int = MAX_STAGES) -> None:
        self._max_stages = max_stages
        self._stage_count = 0
        self._plans: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def get(self, run: str) -> dict[str, Any] | None:
        return self._plans.get(run)

    def put(self, run: str, plan: dict[str, Any]) -> None:
        """The plans that were longest of no use make room."""
        if run not in self._plans:
            self._stage_count += _count_stages(plan)
        self._plans[run] = plan
        self._plans.move_to_end(run)
        while self._stage_count > self._max_stages and len(self._plans) > 1:
            self._stage_count -= _count_stages(self._plans.popitem(last=False)[1])


def _count_stages(plan: dict[str, Any]) -> int:
    return 1 + len(plan.get("stages", ()))
