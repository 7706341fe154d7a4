"""The gateway beside nginx: both in front of the very same component, one process each."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.batching import served
from benchmarks.figures import Figure, Finding, Unmeasured
from benchmarks.wrk import Result, installed, load
from deploy.demo.show import Failed
from tests.servers.provision import Missing

CONNECTIONS = 32
LEAST = 0.75
"""Of nginx' answers a second."""
CORES = 4
MANY_APPS = 1000
COMPONENTS = 5
RUNS = 3
MOST_LOST = 1.03
MOST_MB = 200.0
START_TIMEOUT_S = 90.0
FUNCTION = "async def total(x: list[float]) -> dict:\n    return {'y': sum(x)}\n"
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP64", "shape": [4], "data": [1.5, 2.5, 3.5, 4.5]}]})
HEADERS = {"Content-Type": "application/json", "X-API-Key": "key"}
NGINX = """\
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 0; {more}
  upstream component {{ server 127.0.0.1:{component}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://component; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


def figures() -> Iterator[Finding]:
    try:
        with running() as (component, folder), nginx(component, folder) as proxy:
            with gateway(table(component, 1), folder / "one") as (port, _):
                yield beside("gateway: nginx, over the gateway", *compared(proxy, port))
                with gateway(table(component, MANY_APPS), folder / "many") as (other, process):
                    one, many = (max(results, key=rate) for results in in_turn(port, other))
                    memory = resident_mb(process)
            note = f"{many.rate:.0f}/s with {MANY_APPS * COMPONENTS} components, {one.rate:.0f}/s with one"
            yield Figure("gateway: one app, over many", one.rate / many.rate, MOST_LOST, "x", note)
            yield Figure(f"gateway: memory with {MANY_APPS} apps", memory, MOST_MB, "MB")
            if (os.cpu_count() or 1) >= CORES:  # on fewer they only take time from the component and from wrk
                with gateway(table(component, 1), folder / "two", MLMESH_GATEWAY_PROCESSES="2") as (port, _):
                    yield beside("gateway: nginx, over two processes", *compared(proxy, port))
    except Missing as missing:
        yield Unmeasured("gateway", str(missing))


def beside(name: str, plain: Result, ours: Result) -> Figure:
    note = f"{ours.rate:.0f}/s against {plain.rate:.0f}/s, p99 {ours.p99:.1f} against {plain.p99:.1f} ms"
    return Figure(name, plain.rate / ours.rate, 1 / LEAST, "x", note)


@contextmanager
def running() -> Iterator[tuple[int, Path]]:
    """The component's port, and a folder."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "work.py").write_text(FUNCTION)
        with served(folder, "work:total", "--concurrency", "64") as component:
            yield component, Path(folder)


def compared(proxy: int, port: int) -> tuple[Result, Result]:
    """nginx and the gateway, the best of several runs each, in turn."""
    runs = [(load(f"http://127.0.0.1:{proxy}/predict", BODY, HEADERS, connections=CONNECTIONS), called(port))
            for _ in range(RUNS)]  # fmt: skip
    return max((plain for plain, _ in runs), key=rate), max((ours for _, ours in runs), key=rate)


def in_turn(*ports: int) -> tuple[list[Result], ...]:
    """Several runs of each gateway, one after the other: what changes with time changes for all."""
    runs = [[called(port) for port in ports] for _ in range(RUNS)]
    return tuple([run[index] for run in runs] for index in range(len(ports)))


def called(port: int) -> Result:
    return load(f"http://127.0.0.1:{port}/app0/total/predict", BODY, HEADERS, connections=CONNECTIONS)


def rate(result: Result) -> float:
    return result.rate


def table(component: int, apps: int, **more: Any) -> dict[str, Any]:
    """A routing table as a gateway keeps it on disk; `more` of each component."""
    endpoint = {"id": "i", "host": "127.0.0.1", "port": component, "token": "t"}
    auth = {"basic": None, "api_key": True, "none": False}
    names = ["total", *(f"other{number}" for number in range(COMPONENTS - 1))]
    document = {
        "apis": [{"target": "ml", "path": name, "name": name, "auth": auth, "identity": True} for name in names],
        "keys": {hashlib.sha256(b"key").hexdigest(): "bob"},
        "components": {name: {"timeout": 30.0, "concurrency": 64, "endpoints": [endpoint], **more} for name in names},
    }
    return {"version": 1, "full": True, "apps": {f"app{number}": document for number in range(apps)}}


@contextmanager
def gateway(document: dict[str, Any], folder: Path, **settings: str) -> Iterator[tuple[int, int]]:
    """Its port and process; it serves the table of its disk, since no scheduler is there."""
    (folder / "gateway").mkdir(parents=True)
    (folder / "gateway" / "table.json").write_text(json.dumps(document))
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MLMESH_")}
    environ |= {"MLMESH_INTERNAL_TOKEN": "x", "MLMESH_PORT": str(port), "MLMESH_DATA": str(folder),
                "MLMESH_SCHEDULER_URL": "http://127.0.0.1:9", "MLMESH_LOG_LEVEL": "error", **settings}  # fmt: skip
    with started([sys.executable, "-m", "services", "gateway"], f"http://127.0.0.1:{port}/healthz", environ) as process:
        yield port, process


@contextmanager
def nginx(component: int, folder: Path, more: str = "") -> Iterator[int]:
    port, configuration = free_port(), folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, component=component, port=port, more=more))
    command = [str(installed("nginx", "nginx-light")), "-c", str(configuration), "-p", str(folder)]
    with started(command, f"http://127.0.0.1:{port}/healthz", dict(os.environ)):
        yield port


@contextmanager
def started(command: list[str], url: str, environ: dict[str, str], folder: str = ".") -> Iterator[int]:
    """A server that answers; its process."""
    with ExitStack() as stack:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True
        )
        stack.enter_context(process)
        stack.callback(os.killpg, process.pid, signal.SIGKILL)  # with all that it started
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{command[0]} does not answer")
            time.sleep(0.05)
        yield process.pid


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2.0):  # noqa: S310  our own
            return True
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def resident_mb(process: int, field: str = "VmRSS") -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) / 1024
