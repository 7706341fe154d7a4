"""Other Python model servers, called directly, beside ours behind its gateway: the same sum of four floats."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, Finding, Unmeasured
from benchmarks.gateway import BODY, CONNECTIONS, called, free_port, gateway, running, started, table
from benchmarks.wrk import Result, load
from deploy.demo.show import Failed
from tests.servers.provision import Missing, environment

TIMES_MLSERVER = 4.0
PLAIN = json.dumps({"x": [1.5, 2.5, 3.5, 4.5]})
MLSERVER = """\
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput

class Total(MLModel):
    async def predict(self, payload):
        total = sum(payload.inputs[0].data)
        output = ResponseOutput(name="y", shape=[1], datatype="FP64", data=[total])
        return InferenceResponse(model_name=self.name, outputs=[output])
"""
LITSERVE = """\
import sys
import litserve as ls

class Total(ls.LitAPI):
    def setup(self, device): pass
    def decode_request(self, request): return request["x"]
    def predict(self, x): return sum(x)
    def encode_response(self, output): return {"y": output}

if __name__ == "__main__":
    ls.LitServer(Total(), accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error"
    )
"""
FASTAPI = """\
from fastapi import FastAPI
from pydantic import BaseModel

class Asked(BaseModel):
    x: list[float]

app = FastAPI()

@app.get("/health")
async def health(): return {}

@app.post("/predict")
async def predict(asked: Asked): return {"y": sum(asked.x)}
"""


BENTOML = """\
import bentoml

@bentoml.service(workers=1)
class Total:
    @bentoml.api
    def predict(self, x: list[float]) -> dict:
        return {"y": sum(x)}
"""
RAY = """\
import sys, time
import ray
from ray import serve

@serve.deployment(max_ongoing_requests=100)
class Total:
    async def __call__(self, request):
        return {"y": sum((await request.json())["x"])}

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
serve.run(Total.bind(), route_prefix="/predict")
while True:
    time.sleep(1)
"""


@dataclass(frozen=True)
class Peer:
    """How it is had, started and called. PORT, OTHER and MORE in settings and command are free ports."""

    name: str
    packages: tuple[str, ...]
    files: dict[str, str]
    command: tuple[str, ...]
    path: str
    body: str
    health: str
    times: float


PEERS = (
    Peer(
        "MLServer",
        ("mlserver",),
        {
            "model.py": MLSERVER,
            "model-settings.json": '{"name": "total", "implementation": "model.Total"}',
            "settings.json": '{"host": "127.0.0.1", "http_port": PORT, "grpc_port": OTHER, "metrics_port": MORE, '
            '"parallel_workers": 0, "debug": false}',
        },
        ("mlserver", "start", "."),
        "/v2/models/total/infer",
        BODY,
        "/v2/health/ready",
        TIMES_MLSERVER,
    ),
    Peer(
        "LitServe",
        ("litserve",),
        {"serve.py": LITSERVE},
        ("python", "serve.py", "PORT"),
        "/predict",
        PLAIN,
        "/health",
        1.0,
    ),
    Peer(
        "BentoML",
        ("bentoml",),
        {"service.py": BENTOML},
        ("bentoml", "serve", "service:Total", "--port", "PORT"),
        "/predict",
        PLAIN,
        "/readyz",
        1.0,
    ),
    Peer(
        "RayServe",
        ("ray[serve]",),
        {"served.py": RAY},
        ("python", "served.py", "PORT"),
        "/predict",
        PLAIN,
        "/-/healthz",
        1.0,
    ),
    Peer(
        "FastAPI",
        ("fastapi", "uvicorn[standard]"),
        {"serve.py": FASTAPI},
        ("uvicorn", "serve:app", "--port", "PORT", "--log-level", "error"),
        "/predict",
        PLAIN,
        "/health",
        1.0,
    ),
)


def figures() -> Iterator[Finding]:
    try:
        with running() as (component, folder), gateway(table(component, 1), folder / "gateway") as (port, _):
            for peer in PEERS:
                yield against(peer, port)
    except Missing as missing:
        yield Unmeasured("peers", str(missing))


def against(peer: Peer, port: int) -> Finding:
    name = f"{peer.name}: answers, over ours"
    try:
        with serving(peer) as (address, version):
            theirs, ours = measured(peer, address), called(port)
    except (Failed, Missing) as failure:
        return Unmeasured(name, str(failure))
    note = f"{ours.rate:.0f}/s through gateway and component, {theirs.rate:.0f}/s by {peer.packages[0]} {version} alone"
    return Figure(name, theirs.rate / ours.rate, 1 / peer.times, "x", note)


def measured(peer: Peer, address: str) -> Result:
    return load(address + peer.path, peer.body, {"Content-Type": "application/json"}, connections=CONNECTIONS)


@contextmanager
def serving(peer: Peer) -> Iterator[tuple[str, str]]:
    """Its address and version. Raises Missing, Failed."""
    python = environment(peer.name.lower(), *peer.packages)
    ports = {"PORT": free_port(), "OTHER": free_port(), "MORE": free_port()}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in peer.files.items():
            Path(folder, name).write_text(filled(text, ports) if name == "settings.json" else text)
        program, *arguments = (filled(word, ports) for word in peer.command)
        address = f"http://127.0.0.1:{ports['PORT']}"
        command = [str(python.parent / program), *arguments]
        environ = {**os.environ, "PYTHONPATH": folder}
        with started(command, address + peer.health, environ, folder=folder):
            yield address, version_of(python, peer.packages[0].partition("[")[0])


def filled(text: str, ports: dict[str, int]) -> str:
    for name, port in ports.items():
        text = text.replace(name, str(port))
    return text


def version_of(python: Path, package: str) -> str:
    command = [str(python), "-c", f"import importlib.metadata as m; print(m.version({package!r}))"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
