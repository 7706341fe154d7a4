"""Another try of a pull that failed, as long as its failure may pass."""

from __future__ import annotations

import asyncio

import pytest

from services.worker.runtime import RuntimeFailure
from services.worker.work.image import retry_passing

AWAY = RuntimeFailure("image", "cannot pull x: connection refused", is_passing=True)
DENIED = RuntimeFailure("image", "cannot pull x: denied")


@pytest.mark.parametrize(
    ("failures", "calls", "raised"),
    [
        ([], 1, None),
        ([AWAY], 2, None),
        ([AWAY, AWAY], 3, None),
        ([AWAY, AWAY, AWAY], 3, AWAY),
        ([DENIED], 1, DENIED),
        ([AWAY, DENIED], 2, DENIED),
    ],
)
async def test_a_failure_that_may_pass_is_followed_by_another_try(
    failures: list[RuntimeFailure], calls: int, raised: RuntimeFailure | None
) -> None:
    left, made = list(failures), 0
    lines: list[str] = []

    async def call() -> str:
        nonlocal made
        made += 1
        if left:
            raise left.pop(0)
        return "exact"

    (ended,) = await asyncio.gather(retry_passing(call, (0.0, 0.0), lines.append), return_exceptions=True)
    assert (ended, made) == (raised or "exact", calls)
    assert lines == ["cannot pull x: connection refused; trying again in 0 s"] * min(failures.count(AWAY), 2)
