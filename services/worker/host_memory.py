"""Whether the host has little free memory, as Linux tells it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
LOW_SHARE = 0.1
"""Of all memory; with less that programs can have, it is low."""
LINE = re.compile(r"^(MemTotal|MemAvailable): +(\d+) kB$", re.MULTILINE)


def is_memory_low() -> bool:
    """False where there is no such file."""
    with suppress(OSError):
        return is_low(MEMINFO.read_text())
    return False


def is_low(meminfo: str) -> bool:
    sizes = {name: int(size) for name, size in LINE.findall(meminfo)}
    return "MemAvailable" in sizes and sizes["MemAvailable"] < LOW_SHARE * sizes.get("MemTotal", 0)
