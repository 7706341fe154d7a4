"""When a worker's silence means something."""

import pytest

from services.scheduler.expiry_grace_period import ExpiryGracePeriod

LEASE_S = 10.0


@pytest.mark.parametrize(
    ("beats", "steady"),
    [
        ([100.0], False),
        ([100.0, 104.0, 108.0], False),
        ([100.0, 104.0, 108.0, 110.0], True),
        ([100.0, 104.0, 108.0, 110.0, 114.0], True),
        ([100.0, 104.0, 108.0, 110.0, 116.0], False),  # no step for more than half a lease: an outage, a pause
        ([100.0, 104.0, 108.0, 110.0, 116.0, 120.0, 124.0], False),
        ([100.0, 104.0, 108.0, 110.0, 116.0, 120.0, 124.0, 126.0], True),
    ],
)
def test_only_a_scheduler_that_was_there_for_a_whole_lease_may_judge(beats: list[float], steady: bool) -> None:
    window = ExpiryGracePeriod(LEASE_S)
    assert [window.observe(now) for now in beats][-1] is steady
