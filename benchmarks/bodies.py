"""Large bodies beside nginx: an image, ten megabytes, and an upload that no memory should hold."""

from __future__ import annotations

import http.client
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.batching import served
from benchmarks.figures import Figure, Finding, Unmeasured, median_ms
from benchmarks.gateway import HEADERS, gateway, nginx, resident_mb, table
from benchmarks.wrk import Result, load
from tests.servers.provision import Missing

LEAST = 0.6
"""Of nginx' rate."""
UPLOAD_BYTES = 100_000_000
UPLOADS = 5
BLOCK = b"x" * (1 << 20)
MOST_GROWTH_MB = 10.0
CONNECTIONS = {"image of 150 kB": 16, "10 MB": 4}
SIZES = {"image of 150 kB": 224 * 224 * 3, "10 MB": 10_000_000}
WORK = """\
import numpy

async def size(image: numpy.ndarray) -> dict:
    return {"size": image.size}

async def sink(scope, receive, send):
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(size).encode()})
"""


def figures() -> Iterator[Finding]:
    try:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "work.py").write_text(WORK)
            yield from tensors(Path(folder))
            yield from uploads(Path(folder))
    except Missing as missing:
        yield Unmeasured("bodies", str(missing))


def tensors(folder: Path) -> Iterator[Finding]:
    """As binary tensors of the Open Inference Protocol."""
    with (
        served(str(folder), "work:size", "--concurrency", "64") as component,
        nginx(component, folder) as proxy,
        gateway(table(component, 1), folder / "one") as (port, _),
    ):
        for name, size in SIZES.items():
            file, headers = body(folder, size)
            plain, ours = [
                load(f"http://127.0.0.1:{address}", file, headers, connections=CONNECTIONS[name])
                for address in (f"{proxy}/v2/models/total/infer", f"{port}/app0/v2/models/total/infer")
            ]
            yield beside(f"bodies: nginx, over ours, {name}", plain, ours)


def body(folder: Path, size: int) -> tuple[Path, dict[str, str]]:
    """A file with the request, and its headers."""
    tensor = {"name": "image", "datatype": "UINT8", "shape": [size], "parameters": {"binary_data_size": size}}
    header = json.dumps({"inputs": [tensor]}).encode()
    file = folder / f"body-{size}"
    file.write_bytes(header + os.urandom(size))
    return file, {**HEADERS, "Inference-Header-Content-Length": str(len(header))}


def beside(name: str, plain: Result, ours: Result) -> Figure:
    return Figure(name, plain.rate / ours.rate, 1 / LEAST, "x", f"{ours.rate:.0f}/s against {plain.rate:.0f}/s")


def uploads(folder: Path) -> Iterator[Finding]:
    """To a web application, which counts what comes."""
    with (
        served(str(folder), "--app", "work:sink") as component,
        nginx(component, folder, "proxy_request_buffering off;") as proxy,
    ):
        with gateway(table(component, 1, own_routes=True), folder / "uploads") as (port, process):
            upload(port, "/app0/total/")
            before = most_mb(process)
            plain, ours = [], []
            for _ in range(UPLOADS):
                plain.append(upload(proxy, "/"))
                ours.append(upload(port, "/app0/total/"))
            grown = most_mb(process) - before
    ratio = median_ms(ours) / median_ms(plain)
    note = f"{median_ms(ours):.0f} ms against {median_ms(plain):.0f} ms, medians of {UPLOADS}"
    yield Figure("bodies: upload of 100 MB, over nginx", ratio, 1 / LEAST, "x", note)
    yield Figure("bodies: memory that uploads take", grown, MOST_GROWTH_MB, "MB")


def upload(port: int, path: str) -> float:
    """Seconds."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60.0)) as connection:
        began = time.perf_counter()
        connection.putrequest("PUT", path)
        for name, value in {**HEADERS, "Content-Length": str(UPLOAD_BYTES)}.items():
            connection.putheader(name, value)
        connection.endheaders()
        for start in range(0, UPLOAD_BYTES, len(BLOCK)):
            connection.send(BLOCK[: UPLOAD_BYTES - start])
        answer = connection.getresponse()
        said = answer.read()
        assert (answer.status, said) == (200, str(UPLOAD_BYTES).encode()), said
        return time.perf_counter() - began


def most_mb(process: int) -> float:
    """Resident memory at its largest so far."""
    return resident_mb(process, "VmHWM")
