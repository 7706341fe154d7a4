"""Parses quantities and durations of manifests to plain numbers.

Quantities have the form of Kubernetes' `resource.Quantity`: `512Mi` is 512 * 2**20, `1G` is 10**9, `500m` is half.
Durations: `30s`, `1h`, `1m30s`, `500ms`, or a number of seconds. Messages in `ValueError` start with "must".
"""

import math
import re
from decimal import Decimal
from typing import Final

QUANTITY: Final = re.compile(
    r"([0-9]{1,20}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})(?:([KMGTPE]i|[mkMGTPE])|[eE]([+-]?[0-9]{1,2}))?"
)
MULTIPLIERS: Final = {
    **{prefix: Decimal(1000) ** power for power, prefix in enumerate(["", "k", "M", "G", "T", "P", "E"])},
    **{prefix: Decimal(1024) ** power for power, prefix in enumerate(["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])},
    "m": Decimal("0.001"),
}
NUMBER: Final = r"([0-9]{1,12}(?:\.[0-9]{1,6})?)"
DURATION: Final = re.compile("".join(f"(?:{NUMBER}{unit})?" for unit in ("d", "h", "m", "s", "ms")))
SECONDS: Final = (86400.0, 3600.0, 60.0, 1.0, 0.001)
MAX_BYTES: Final = 2**63 - 1
MAX_SECONDS: Final = 366 * 86400.0

SIZE_MESSAGE: Final = "must be a size such as 512Mi, 1G or a number of bytes"
CORES_MESSAGE: Final = "must be a number of cores such as 2, 0.5 or 500m"
DURATION_MESSAGE: Final = "must be a duration such as 30s, 5m, 1h30m or a number of seconds"


def parse_size(value: object) -> int:
    """Whole bytes; `500m` of memory, half a byte in Kubernetes too, is an error."""
    amount = parse_quantity(value, SIZE_MESSAGE)
    if amount != amount.to_integral_value() or amount > MAX_BYTES:
        raise ValueError(SIZE_MESSAGE)
    return int(amount)


def parse_cores(value: object) -> float:
    return float(parse_quantity(value, CORES_MESSAGE))


def parse_quantity(value: object, expected: str) -> Decimal:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return Decimal(str(value))
    match = QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(expected)
    number, suffix, exponent = match.groups()
    return Decimal(number) * (Decimal(10) ** int(exponent) if exponent else MULTIPLIERS[suffix or ""])


def parse_duration(value: object) -> float:
    total = value if isinstance(value, int | float) and not isinstance(value, bool) else parse_duration_text(value)
    if not total >= 0:  # NaN too
        raise ValueError(DURATION_MESSAGE)
    if total > MAX_SECONDS:
        raise ValueError("must be at most 366 days")
    return float(total)


def parse_duration_text(value: object) -> float:
    match = DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        raise ValueError(DURATION_MESSAGE)
    return sum(float(number) * unit for number, unit in zip(match.groups(), SECONDS, strict=True) if number)


def format_size(count: int) -> str:
    """The shortest quantity that is exactly this many bytes: `2Gi`, `1G`, `12`."""
    units = ((suffix, int(size)) for suffix, size in MULTIPLIERS.items() if size >= 1)
    return min(
        (f"{count // size}{suffix}" for suffix, size in units if count % size == 0 and count), key=len, default="0"
    )


def format_duration(seconds: float) -> str:
    """`1h30m`; whole milliseconds."""
    remainder, parts = round(seconds * 1000), list[str]()
    for unit, size in zip(("d", "h", "m", "s", "ms"), SECONDS, strict=True):
        amount, remainder = divmod(remainder, round(size * 1000))
        parts += [f"{amount}{unit}"] if amount else []
    return "".join(parts) or "0s"
