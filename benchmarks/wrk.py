"""The load generator wrk: as many calls as a number of connections can make."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.show import Failed
from tests.servers.provision import Missing, apt, program

SECONDS = 5
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
SCRIPT = """\
wrk.method = "POST"
wrk.body = {body}
{headers}
{pause}
done = function(summary, latency, requests)
  io.write(string.format("rate %f p50 %f p99 %f bad %d\\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""


@dataclass(frozen=True)
class Result:
    """`rate` answers a second; latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


def installed(name: str, package: str) -> Path:
    """A program that is there, or comes from Debian. Raises Missing."""
    if program(name) is None:
        apt(package)
    found = program(name)
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def load(url: str, body: str | Path, headers: Mapping[str, str], *, connections: int, pause_ms: int = 0) -> Result:
    """`body`: a text, or a file of bytes; `pause_ms`: from an answer to the next call of a connection, on average.

    Raises Failed when an answer was not 2xx.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()]
        content = json.dumps(body) if isinstance(body, str) else f'io.open("{body}", "rb"):read("*a")'
        pause = f"function delay() return math.random(0, {2 * pause_ms}) end" if pause_ms else ""
        script.write(SCRIPT.format(body=content, headers="\n".join(lines), pause=pause))
        script.flush()
        command = [str(installed("wrk", "wrk")), "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", script.name, url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"rate ([\d.]+) p50 ([\d.]+) p99 ([\d.]+) bad (\d+)", said)
    if found is None or int(found[4]):
        raise Failed(f"{url} did not answer every call: {said}")
    return Result(*map(float, found.groups()[:3]))
