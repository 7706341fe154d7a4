from __future__ import annotations

import pytest

from services.worker.host_memory import is_low, is_memory_low

MEMINFO = "MemTotal:        1000000 kB\nMemFree:          50000 kB\nMemAvailable:    {} kB\nHugePages_Total:       0\n"


@pytest.mark.parametrize(
    ("meminfo", "low"),
    [
        (MEMINFO.format("500000"), False),
        (MEMINFO.format("100000"), False),
        (MEMINFO.format(" 99999"), True),
        ("MemTotal:        1000000 kB\n", False),
        ("", False),
    ],
)
def test_memory_is_low_when_less_than_a_tenth_is_available(meminfo: str, low: bool) -> None:
    assert is_low(meminfo) is low


def test_this_host_tells_it() -> None:
    assert is_memory_low() in (True, False)
