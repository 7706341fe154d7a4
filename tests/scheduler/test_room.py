"""How many more runs may wait: what was counted a moment ago, less what was taken since."""

from __future__ import annotations

import pytest

from services.scheduler.runs import waiting_quota
from services.scheduler.runs.waiting_quota import COUNT_AGAIN_S, Room


class Clock:
    at = 10.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(waiting_quota, "time", found)
    return found


def test_what_nobody_has_counted_is_to_be_counted(clock: Clock) -> None:
    assert Room().take({"leaf": 1}) is None


def test_what_is_taken_is_gone_and_the_time_goes_on(clock: Clock) -> None:
    found = Room()
    found.counted({"leaf": 3, "oak": 1}, 5000.0)
    assert found.take({"leaf": 2, "oak": 1}) == 5000.0
    clock.at += 0.1
    assert found.take({"leaf": 2}) is None
    assert found.take({"leaf": 1, "oak": 1}) is None
    assert found.take({"leaf": 1}) == pytest.approx(5000.1)
    assert found.take({"leaf": 1}) is None


def test_a_count_is_good_for_a_moment(clock: Clock) -> None:
    found = Room()
    found.counted({"leaf": 3}, 5000.0)
    clock.at += COUNT_AGAIN_S
    assert found.take({"leaf": 1}) is None
    found.counted({"leaf": 2}, 6000.0)
    assert found.take({"leaf": 2}) == 6000.0
