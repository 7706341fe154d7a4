"""When a pipeline starts by itself."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from libs.common.manifests.schedule import check_cron, check_timezone, next_start

BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("61 * * * *", "must be five cron fields, such as 0 6 * * 1-5: bad minute"),
        ("@daily", "must be five cron fields, such as 0 6 * * 1-5"),
        ("* * * * * *", "must be five cron fields, such as 0 6 * * 1-5"),
        ("0 0 30 2 *", "must be five cron fields, such as 0 6 * * 1-5: bad day-of-month"),
        ("0 0 31 4,6 *", "must be five cron fields, such as 0 6 * * 1-5: bad day-of-month"),
    ],
)
def test_an_expression_that_cannot_come_true_is_refused(cron: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        check_cron(cron)


def test_a_place_that_has_no_clock_is_refused() -> None:
    for wrong in ("Europe/Berln", "../etc/passwd", "", "UTC+1"):
        with pytest.raises(ValueError, match="must be a time zone, such as Europe/Berlin or UTC"):
            check_timezone(wrong)


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("0 6 * * *", "2026-03-01 06:00", "2026-03-02 06:00"),
        ("*/15 * * * *", "2026-03-01 06:07", "2026-03-01 06:15"),
        ("0 0 29 2 *", "2026-03-01 00:00", "2028-02-29 00:00"),
        ("30 2 * * *", "2026-03-28 12:00", "2026-03-29 03:00"),  # that night has no half past two
        ("30 2 * * *", "2026-10-25 02:30", "2026-10-26 02:30"),  # that night has it twice
        ("0 9 * * 1-5", "2026-03-27 09:00", "2026-03-30 09:00"),  # nine o'clock before and after the change
    ],
)
def test_the_next_start_is_by_the_clock_of_the_place(cron: str, after: str, expected: str) -> None:
    at = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(BERLIN)).timestamp()
    found = next_start(cron, BERLIN, at)
    assert found is not None
    assert datetime.fromtimestamp(found, ZoneInfo(BERLIN)).strftime("%Y-%m-%d %H:%M") == expected
