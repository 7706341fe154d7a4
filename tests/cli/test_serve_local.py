"""`mlmesh serve local`: a component of a checkout, without a mesh, as its manifest says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from libs.common.manifests import MLComponent
from services.cli.serve_local import runtime_environment
from services.scheduler.components.desired_instances import build_instance_spec
from services.worker.runtime import spec
from services.worker.runtime.spec import ContainerSite
from tests.cli.conftest import Run
from tests.component.serving import Answer, ask, text

FUNCTION = """\
import os
import pathlib
import sys
import time


def load(path):
    return pathlib.Path(path).read_text().upper()


def told(text: str, model) -> list[dict]:
    return [{"model": model, "calls": len(text), "level": os.environ["LEVEL"]} for _ in text]


def slow(text: str, context) -> dict:
    while not context.cancelled:
        time.sleep(0.01)
    return {}


def page(text: str, context) -> dict:
    result = context.folder / "page.txt"
    result.write_text(text)
    return {"page": result}


async def web(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": os.environ["LEVEL"].encode()})


def own(text: str) -> dict:
    return {"python": sys.executable, "path": " ".join(sys.path), "url": os.environ.get("MLMESH_URL", "none")}
"""
MANIFEST = """\
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: %s}
spec:
  image: {existingImageName: "python:3.12-slim"}
  mlService: {inference: "service:%s"%s}
%s"""
COMPONENTS = {
    "told": (", loader: 'service:load', modelBox: b, modelPath: g/m, batching: {maxSize: 4, maxDelayMs: 0}",
             "  env: [{name: LEVEL, value: '7'}]\n"),
    "slow": (", timeout: 0.2s", ""),
    "page": ("", ""),
    "own": ("", ""),
    "cold": (", warmup: {inputs: []}", ""),
}  # fmt: skip
EVERYTHING = {
    "image": {"existingImageName": "i:1"},
    "servicePort": 9000,
    "connectedBoxes": ["weights", "data"],
    "mlService": {
        "inference": "m:f", "loader": "m:load", "modelBox": "weights", "modelPath": "g/m", "concurrency": 3,
        "batching": {"maxSize": 4, "maxDelayMs": 2.5}, "timeout": "90s", "warmup": [{"inputs": []}],
    },
}  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    (folder / "manifests").mkdir(parents=True)
    (folder / "service.py").write_text(FUNCTION)
    for name, (service, extra) in COMPONENTS.items():
        function = "own" if name == "cold" else name
        (folder / "manifests" / f"{name}.yml").write_text(MANIFEST % (name, function, service, extra))
    return folder


@contextmanager
def serve_component(cwd: Path, *words: str, **environ: str) -> Iterator[tuple[int, str]]:
    """Serve a component; yields its port and the output until it is ready."""
    command = [sys.executable, "-m", "services", "serve", "local", "--port", "0", *words]
    environment = {"PYTHONPATH": os.getcwd(), **environ}
    with subprocess.Popen(
        command, cwd=cwd, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        try:
            yield _wait_until_ready(process)
        finally:
            process.terminate()


def _wait_until_ready(process: subprocess.Popen[str]) -> tuple[int, str]:
    assert process.stderr is not None
    output = ""
    for line in process.stderr:
        output += line
        if match := re.search(r"is ready on http://127\.0\.0\.\d:(\d+)\b", line):
            return int(match[1]), output
    raise AssertionError(output)


def post_predict(port: int, data: str = "hi") -> Answer:
    return ask(port, "POST", "/predict", json.dumps({"inputs": [text("text", data)]}).encode())


def serve_error(folder: Path, component: str) -> str:
    """The error message of a component that cannot be served."""
    command = [sys.executable, "-m", "services", "serve", "local", component, "--port", "0", "--folder", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60.0)
    assert result.returncode == 1
    return result.stderr


def outputs_by_name(answer: Answer) -> dict[str, Any]:
    return {output["name"]: output["data"] for output in answer.json["outputs"]}


def test_runtime_environment_equals_that_of_the_worker() -> None:
    component = MLComponent.model_validate(
        {"apiVersion": "mlmesh/v1", "kind": "MLComponent", "metadata": {"name": "c"}, "spec": EVERYTHING}
    )
    instance = build_instance_spec("c", component, {}).model_copy(update={"instance_token": "t"})
    worker_environment = spec.component_environment(
        "a", instance, ContainerSite(worker="w", installation="x", folder=Path("/s"), mesh_url="u"), None
    )
    of_the_platform = {"MLMESH_HOST", "MLMESH_INSTANCE_TOKEN", "MLMESH_NAMESPACE", "MLMESH_OTHER_BOXES", "MLMESH_URL"}
    assert runtime_environment(component) == {
        name: value for name, value in worker_environment.items() if name not in of_the_platform
    }


def test_loader_batching_and_env_are_the_manifests(checkout: Path) -> None:
    (checkout / "model").write_text("weights")
    with serve_component(checkout.parent, "told", "--folder", "module", "--model", "module/model") as (port, _):
        assert outputs_by_name(post_predict(port)) == {"model": "WEIGHTS", "calls": [1], "level": "7"}


def test_a_web_application_is_served_where_it_is_said(checkout: Path) -> None:
    web = (MANIFEST % ("web", "web", "", "  env: [{name: LEVEL, value: '7'}]\n")).replace("inference:", "app:")
    (checkout / "manifests" / "web.yml").write_text(web)
    with serve_component(checkout, "web", "--host", "127.0.0.2") as (port, output):
        assert f"mlmesh: service:web is ready on http://127.0.0.2:{port}/\n" in output
        with urllib.request.urlopen(f"http://127.0.0.2:{port}/") as answer:
            assert answer.read() == b"7"


def test_a_model_that_is_not_given_is_named(checkout: Path) -> None:
    assert serve_error(checkout, "told").startswith("told has no model here: --model is for g/m of the box b\n")


def test_the_deadline_is_the_manifests(checkout: Path) -> None:
    with serve_component(checkout, "slow") as (port, _):
        assert post_predict(port).status == 504


def test_what_fails_to_warm_up_is_not_served(checkout: Path) -> None:
    assert "warm-up request 1: 422 text: is missing" in serve_error(checkout, "cold")


def test_a_returned_file_is_there_when_its_answer_is_read(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    with serve_component(checkout, "page", TMPDIR=str(tmp_path / "tmp")) as (port, _):
        pages = [Path(outputs_by_name(post_predict(port, data))["page"]) for data in ("one", "two")]
    assert [page.read_text() for page in pages] == ["one", "two"]
    assert {page.name for page in pages} == {"page.txt"}
    assert [entry.name for entry in (tmp_path / "tmp").iterdir()] == [pages[0].parents[2].name]


def test_an_interpreter_is_found_from_where_one_is_and_gets_nothing_of_ours(checkout: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "venv"], cwd=checkout.parent, check=True)
    words = ("own", "--folder", "module", "--python", "venv/bin/python")
    with serve_component(checkout.parent, *words, MLMESH_URL="http://127.0.0.1:9") as (port, output):
        values = outputs_by_name(post_predict(port))
    assert values["python"] == str(checkout.parent / "venv" / "bin" / "python")
    assert "component" not in values["path"]
    assert values["url"] == "none"
    assert "requirements.txt" not in output


def test_uninstalled_requirements_are_noted(checkout: Path) -> None:
    (checkout / "requirements.txt").write_text("numpy\n")
    with serve_component(checkout, "own") as (_, output):
        assert f"runs with {sys.executable}, without requirements.txt; --python names one that has " in output


@pytest.mark.parametrize("words", [("serve", "local", "own"), ("run", "local", "copy")])
def test_an_interpreter_that_is_not_there_is_wrong_usage(
    run: Run, checkout: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    from tests.e2e.application import BOXES, PIPELINE

    (checkout / "manifests" / "copy.yml").write_text(BOXES + "---\n" + PIPELINE)
    monkeypatch.chdir(checkout)
    done = run(*words, "--python", "no/such/python")
    assert (done.code, done.err) == (2, "mlmesh: --python no/such/python: there is no such program\n")


def test_a_template_is_served_as_its_readme_says(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "module"
    assert run("init", str(folder)).code == 0
    readme = (folder / "README.md").read_text()
    train, serve = re.findall(
        r"^    (?:python3|mlmesh) (-m classifier\.train .*|serve local .*)$", readme, re.MULTILINE
    )
    model = str(tmp_path / "model.json")
    subprocess.run([sys.executable, *train.replace("/tmp/model.json", model).split()], cwd=folder, check=True)
    words = serve.replace("/tmp/model.json", model).split()[2:]
    with serve_component(folder, *words) as (port, output):
        answer = post_predict(port, "the train was late again")
    assert (answer.status, set(outputs_by_name(answer))) == (200, {"label", "probabilities"})
    assert "has no model" not in output
