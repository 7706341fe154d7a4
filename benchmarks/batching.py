"""Adaptive batching: a function that costs 5 ms however many requests it gets, with and without batching."""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.figures import Figure

COST_MS = 5
CLIENTS = 64
UNBATCHED_CLIENTS = 8  # enough to keep it busy: one that calls one at a time lets ten wait and refuses the rest
MEASURED_S = 4.0
LEAST_GAIN = 15.0
MOST_LATENCY = 1.1
FUNCTION = f"""\
import time

def one(x: float) -> dict:
    time.sleep({COST_MS / 1000})
    return {{"y": x}}

def many(x: list[float]) -> list[dict]:
    time.sleep({COST_MS / 1000})
    return [{{"y": one}} for one in x]
"""
BODY = b'{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1.5]}]}'
REQUEST = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "work.py").write_text(FUNCTION)
        with served(folder, "work:one") as plain, served(folder, "work:many", "--batch-size", "32") as batched:
            alone, alone_batched = called(plain, 1), called(batched, 1)
            rate, rate_batched = called(plain, UNBATCHED_CLIENTS).rate, called(batched, CLIENTS).rate
    note = f"{rate_batched:.0f}/s with {CLIENTS} clients against {rate:.0f}/s"
    yield Figure("batching: gain that is wanted", LEAST_GAIN, rate_batched / rate, "x", note)
    ratio = alone_batched.median_ms / alone.median_ms
    note = f"{alone_batched.median_ms:.2f} ms against {alone.median_ms:.2f} ms, one client"
    yield Figure("batching: latency of a lone call", ratio, MOST_LATENCY, "x", note)


@contextmanager
def served(folder: str, *arguments: str) -> Iterator[int]:
    """The port of the component runtime with this function."""
    command = [sys.executable, "-m", "mlmesh_component", *arguments, "--port", "0", "--host", "127.0.0.1"]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MLMESH_")}
    environ["MLMESH_COMPONENT_NAME"] = "total"
    with subprocess.Popen(command, cwd=folder, env=environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield int(re.findall(r":(\d+)", process.stderr.readline())[-1])
        finally:
            process.kill()


class Load:
    """What the clients saw."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.seconds = 0.0

    @property
    def rate(self) -> float:
        return len(self.times) / self.seconds

    @property
    def median_ms(self) -> float:
        return statistics.median(self.times) * 1000


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered. Answers are small and come in one piece."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._began = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the component refused: {data.decode()}")
        self._load.times.append(time.perf_counter() - self._began)
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        self._began = time.perf_counter()
        self._transport.write(REQUEST)


def called(port: int, clients: int) -> Load:
    return uvloop.run(_called(port, clients))


async def _called(port: int, clients: int) -> Load:
    loop, load = asyncio.get_running_loop(), Load()
    began = time.perf_counter()
    opened = [await loop.create_connection(lambda: Client(load), "127.0.0.1", port) for _ in range(clients)]
    await asyncio.sleep(MEASURED_S)
    load.seconds = time.perf_counter() - began
    for transport, _ in opened:
        transport.abort()
    return load
