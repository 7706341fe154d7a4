"""Run plan cache: a plan never changes, and of a run with many stages it is most of the row."""

from __future__ import annotations

from collections import OrderedDict

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.db.database_caches import get_cache
from services.scheduler.model.run_plan import RunPlan

MAX_STAGES = 20_000
"""How many stages the cached plans have together."""


class RunPlanCache:
    """An LRU cache, one for each database."""

    OPTION = "run_plan_cache"

    def __init__(self, max_stages: int = MAX_STAGES) -> None:
        self._max_stages = max_stages
        self._stage_count = 0
        self._plans: OrderedDict[str, RunPlan] = OrderedDict()

    @classmethod
    def for_connection(cls, conn: AsyncConnection) -> RunPlanCache:
        return get_cache(conn, cls.OPTION, cls)

    def get(self, run: str) -> RunPlan | None:
        return self._plans.get(run)

    def put(self, run: str, plan: RunPlan) -> None:
        """Evicts the plans that were put or renewed longest ago."""
        if run not in self._plans:
            self._stage_count += _count_stages(plan)
        self._plans[run] = plan
        self._plans.move_to_end(run)
        while self._stage_count > self._max_stages and len(self._plans) > 1:
            self._stage_count -= _count_stages(self._plans.popitem(last=False)[1])


def _count_stages(plan: RunPlan) -> int:
    return 1 + len(plan.stages)
