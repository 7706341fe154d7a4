"""How many more runs may wait: what was counted a moment ago, less what was taken since."""

from __future__ import annotations

import pytest

from services.scheduler.runs import queued_run_quota_cache
from services.scheduler.runs.queued_run_quota_cache import REFRESH_S, QueuedRunQuotaCache


class Clock:
    at = 10.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(queued_run_quota_cache, "time", fake)
    return fake


def test_what_nobody_has_counted_is_to_be_counted(clock: Clock) -> None:
    assert QueuedRunQuotaCache().try_reserve({"leaf": 1}) is None


def test_what_is_taken_is_gone_and_the_time_goes_on(clock: Clock) -> None:
    quota = QueuedRunQuotaCache()
    quota.refresh({"leaf": 3, "oak": 1}, 5000.0)
    assert quota.try_reserve({"leaf": 2, "oak": 1}) == 5000.0
    clock.at += 0.1
    assert quota.try_reserve({"leaf": 2}) is None
    assert quota.try_reserve({"leaf": 1, "oak": 1}) is None
    assert quota.try_reserve({"leaf": 1}) == pytest.approx(5000.1)
    assert quota.try_reserve({"leaf": 1}) is None


def test_a_count_is_good_for_a_moment(clock: Clock) -> None:
    quota = QueuedRunQuotaCache()
    quota.refresh({"leaf": 3}, 5000.0)
    clock.at += REFRESH_S
    assert quota.try_reserve({"leaf": 1}) is None
    quota.refresh({"leaf": 2}, 6000.0)
    assert quota.try_reserve({"leaf": 2}) == 6000.0
