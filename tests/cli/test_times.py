from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.cli.cli_errors import WrongUsage
from services.cli.times import format_age, format_interval, format_time, parse_duration

NOW = datetime(2026, 11, 28, 23, 56, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("iso", "expected"),
    [
        ("2026-11-28T23:56:00.700Z", "now"),
        ("2026-11-28T23:55:59.000Z", "2 s ago"),
        ("2026-11-28T23:51:01.000Z", "5 min ago"),
        ("2026-11-28T20:56:01.000Z", "3 h ago"),
        ("2026-11-20T23:56:01.000Z", "8 d ago"),
        ("2026-11-29T02:56:01+00:00", "in 3 h"),
        (None, ""),
        ("later", "later"),
    ],
)
def test_an_age_is_short(iso: str | None, expected: str) -> None:
    assert format_age(iso, NOW) == expected


def test_a_moment_and_a_length_are_readable() -> None:
    assert format_time("2026-11-28T23:56:01.470Z") == "2026-11-28 23:56:01 UTC"
    assert format_interval("2026-11-28T23:56:01Z", "2026-11-28T23:56:02.5Z") == "1.5 s"
    assert format_interval("2026-11-28T23:56:01Z", None) == ""


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("0.5s", 0.5), ("10m", 600), ("2h", 7200), ("1d", 86400)])
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "1e9", "1 week", "inf"])
def test_what_is_no_duration_says_how_to_write_one(text: str) -> None:
    with pytest.raises(WrongUsage, match="write 30s, 10m or 2h"):
        parse_duration(text)
