"""Five times as many calls as a component can answer: it goes on answering, the rest is refused at once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.batching import served
from benchmarks.bodies import most_mb
from benchmarks.figures import Figure, Finding
from benchmarks.gateway import BODY, HEADERS, gateway, table
from benchmarks.openloop import Seen, called
from deploy.demo.show import Failed

CALL_MS = 10
AT_ONCE = 4
TIMES = 5
SECONDS = 30.0
CALM_SECONDS = 5.0
LEAST = 0.9
"""Of the most that it answered when not more came."""
MOST_REFUSAL_MS = 20.0
MOST_GROWTH_MB = 10.0
WORK = f"""\
import asyncio

async def total(x: list[float]) -> dict:
    await asyncio.sleep({CALL_MS / 1000})
    return {{"y": sum(x)}}
"""


def figures() -> Iterator[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "work.py").write_text(WORK)
        with served(folder, "work:total", "--concurrency", str(AT_ONCE)) as component:
            document = table(component, 1, concurrency=AT_ONCE)
            with gateway(document, Path(folder, "gateway")) as (port, process):
                capacity = AT_ONCE * 1000 / CALL_MS
                calm = called(port, REQUEST, capacity, CALM_SECONDS)
                before = most_mb(process)
                pressed = called(port, REQUEST, TIMES * capacity, SECONDS)
                grown = most_mb(process) - before
    yield from judged(calm, pressed, grown)


def judged(calm: Seen, pressed: Seen, grown: float) -> Iterator[Finding]:
    if set(pressed.statuses) - {200, 429} or pressed.lost:
        raise Failed(f"answers other than 200 and 429: {dict(pressed.statuses)}, {pressed.lost} lost")
    most, served_rate = calm.rate(200), pressed.rate(200)
    note = f"{served_rate:.0f}/s while {pressed.rate(429):.0f}/s are refused, {most:.0f}/s before"
    yield Figure("overload: served before, over under it", most / served_rate, 1 / LEAST, "x", note)
    yield Figure("overload: p99 of refusals", pressed.p99_ms(429), MOST_REFUSAL_MS, "ms")
    yield Figure("overload: memory that it takes", grown, MOST_GROWTH_MB, "MB")


def request() -> bytes:
    lines = ["POST /app0/total/predict HTTP/1.1", "Host: x", f"Content-Length: {len(BODY)}"]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    return "\r\n".join([*lines, "", BODY]).encode()


REQUEST = request()
