"""What the gateway adds to the time of a call when it has half as much to do as it can."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import Figure, Finding, Unmeasured
from benchmarks.gateway import BODY, CONNECTIONS, HEADERS, called, gateway, running, table
from benchmarks.wrk import Result, load
from tests.servers.provision import Missing

MEDIAN_MS = 0.3
P99_MS = 1.5


def figures() -> Iterator[Finding]:
    try:
        with running() as (component, folder), gateway(table(component, 1), folder / "gateway") as (port, _):
            most = called(port).rate
            pause = round(2 * CONNECTIONS / most * 1000)
            through = calmly(f"http://127.0.0.1:{port}/app0/total/predict", pause)
            alone = calmly(f"http://127.0.0.1:{component}/predict", pause)
    except Missing as missing:
        yield Unmeasured("latency", str(missing))
        return
    note = f"at {through.rate:.0f}/s of {most:.0f}/s; {{}} ms through it, {{}} ms without"
    for name, ours, theirs, limit in (
        ("median", through.p50, alone.p50, MEDIAN_MS),
        ("p99", through.p99, alone.p99, P99_MS),
    ):
        told = note.format(f"{ours:.2f}", f"{theirs:.2f}")
        yield Figure(f"latency: the gateway's, {name}", ours - theirs, limit, "ms", told)


def calmly(url: str, pause_ms: int) -> Result:
    return load(url, BODY, HEADERS, connections=CONNECTIONS, pause_ms=pause_ms)
