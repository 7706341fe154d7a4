"""Runs of several shapes, whose outputs say what they were made from: which attempt of each stage, and which input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from tests.e2e.application import BOXES

IMAGE = "mlmesh-test/storm:1"
DOCKERFILE = "ARG BASE\nFROM ${BASE}\nWORKDIR /module\nCOPY . .\n"
BIG = 3_000_000


def stage(name: str, inputs: str, outputs: str, more: str = "") -> str:
    listed = ", ".join(f"{{name: {one}}}" for one in inputs.split())
    written = ", ".join(f"{{name: {one}}}" for one in outputs.split())
    return (
        f'    - {{name: {name}, image: {{existingImageName: "{IMAGE}"}}, entryPoint: python3 stages.py {name}, '
        f"inputs: [{listed}], outputs: [{written}]{more}}}\n"
    )


def pipeline(name: str, variables: str, stages: str) -> str:
    return f"""\
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {{name: {name}}}
spec:
  connectedBoxes: [results]
  vars: [{", ".join(f"{{name: {one}}}" for one in variables.split())}]
  stages:
{stages}---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {{name: {name}}}
spec:
  experimentPipeline: {{name: {name}}}
  restfulApi: {{path: {name}, auth: {{basic: {{credentials: users}}}}}}
  apiSpec: {{inputs: [{{name: word, type: {{datatypes: [str]}}}}], outputs: [{{name: {variables.split()[-1]}}}]}}
---
"""


RETRIES = ", retries: {limit: 30, backoff: 100ms, reasons: [error]}"
FILES = {
    "manifests/boxes.yml": BOXES,
    "manifests/shapes.yml": (
        pipeline(
            "diamond",
            "word top left right bottom",
            stage("top", "word", "top")
            + stage("left", "top", "left")
            + stage("right", "top", "right")
            + stage("bottom", "left right", "bottom"),
        )
        + pipeline("flaky", "word out", stage("flaky", "word", "out", RETRIES))
        + pipeline("broken", "word whole never", stage("whole", "word", "whole") + stage("broken", "whole", "never"))
        + pipeline("big", "word heap sum", stage("heap", "word", "heap") + stage("sum", "heap", "sum"))
    ).removesuffix("---\n"),
    "Dockerfile": DOCKERFILE,
    "stages.py": """\
import hashlib, os, pathlib, random, sys, time, uuid

name = sys.argv[1]

def into(variable, text):
    (pathlib.Path(os.environ["UNIP_PIPELINE_" + variable.upper()]) / "out").write_text(text)

def of(variable):
    place = pathlib.Path(os.environ["UNIP_PIPELINE_" + variable.upper()])
    return (place if place.is_file() else place / "out").read_text()

mark = uuid.uuid4().hex[:8]
print(name, mark, flush=True)
time.sleep(random.random())
if name in ("top", "whole"):
    into(name, of("word") + ":" + mark)
elif name in ("left", "right"):
    into(name, of("top") + "/" + mark)
elif name == "bottom":
    into("bottom", of("left") + " " + of("right"))
elif name == "flaky":
    if random.random() < 0.4:
        sys.exit(3)
    into("out", of("word"))
elif name == "broken":
    into("never", "must not be seen")
    sys.exit(7)
elif name == "heap":
    into("heap", of("word") * (3_000_000 // len(of("word"))))
elif name == "sum":
    into("sum", hashlib.sha256(of("heap").encode()).hexdigest())
""",
}


def whole_diamond(word: str, found: str) -> bool:
    """Left and right have read what one attempt of the top has left."""
    left, right = found.split(" ")
    return left.startswith(f"{word}:") and left.partition("/")[0] == right.partition("/")[0]


@dataclass(frozen=True)
class Shape:
    variable: str
    good: Callable[[str, str], bool]
    """Whether an output is what this word determines."""
    ends: str = "succeeded"


SHAPES: Mapping[str, Shape] = {
    "diamond": Shape("bottom", whole_diamond),
    "flaky": Shape("out", lambda word, found: found == word),
    "broken": Shape("never", lambda word, found: False, ends="failed"),
    "big": Shape("sum", lambda word, found: found == sha256((word * (BIG // len(word))).encode()).hexdigest()),
}


def body(word: str) -> dict[str, Any]:
    return {"inputs": {"word": word}}
