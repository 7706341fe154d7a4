"""The client of the demo and of the benchmarks."""

from __future__ import annotations

from deploy.demo.api import ANSWER_TIMEOUT_S
from services.scheduler.routes.dependencies import MAX_WAIT_S

SLOWNESS_S = 20.0
"""How late an answer may be on a slow machine."""


def test_it_outlasts_the_longest_wait_that_a_caller_may_ask_for() -> None:
    assert ANSWER_TIMEOUT_S >= MAX_WAIT_S + SLOWNESS_S
