"""Calls of components of all kinds from the outside, on processes and on containers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import aiohttp
import pytest

from deploy.demo.api import Api
from tests.e2e.application import ALICE, BOXES, Application
from tests.e2e.load import Load
from tests.e2e.processes import Processes
from tests.servers.fleet import Fleet
from tests.servers.images import PYTHON_IMAGE, module_image

IMAGE = "mlmesh-test/calls:1"
DOCKERFILE = """\
ARG BASE
FROM ${BASE}
WORKDIR /module
COPY requirements.txt .
RUN python3 -m pip install --no-cache-dir --requirement requirements.txt
COPY . .
USER 1000
"""
OLD = {"numpy": "1.26.4", "pydantic": "1.10.19", "orjson": "3.9.15"}
"""Versions that are not ours."""
SERVICE = """\
import pathlib
import time

import numpy
import orjson
import pydantic


class Asked(pydantic.BaseModel):
    word: str


def shout(text: str) -> dict:
    return {"said": text.upper() + "!"}


def versions(asked: Asked, x: numpy.ndarray) -> dict:
    found = {one.__name__: one.__version__ for one in (numpy, orjson)}
    return {"versions": {**found, "pydantic": pydantic.VERSION}, "word": asked.word, "sum": x.sum()}


def together(text: list[str]) -> list[dict]:
    time.sleep(0.2)
    return [{"said": one.upper(), "together": len(text)} for one in text]


def letters(text: str):
    for letter in text:
        yield {"said": letter.upper()}


def marked(page: pathlib.Path, model, context) -> dict:
    result = context.folder / page.name
    result.write_text(page.read_text() + pathlib.Path(model).read_text())
    return {"page": result}


async def web(scope, receive, send):
    assert scope["type"] in ("http", "websocket")
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
        return
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    said = {"method": scope["method"], "path": scope["path"], "root": scope["root_path"], "size": size}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": orjson.dumps(said)})
"""


def component(name: str, service: str, more: str = "") -> str:
    return f"""\
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {{name: {name}}}
spec:
  image: {{existingImageName: "{IMAGE}"}}
  mlService: {{{service}}}
{more}---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {{name: {name}}}
spec:
  mlComponent: {{name: {name}}}
  restfulApi: {{path: {name}, auth: {{basic: {{credentials: users}}}}}}
"""


WEIGHTS = """\
---
apiVersion: mlmesh/v1
kind: DataBox
metadata: {name: weights}
spec: {s3DefaultStorage: {capacity: 10M}}
"""
MARKED = component(
    "marked",
    "inference: service:marked, modelBox: weights, modelPath: m/mark",
    "  connectedBoxes: [weights, results]\n",
)
SHOUT = component("shout", "inference: service:shout, concurrency: 8", "  scaling: {min: 2, max: 2}\n")
VERSIONS = component("versions", "inference: service:versions", "  security: {readOnlyRoot: true}\n")
FILES = {
    "manifests/boxes.yml": BOXES + WEIGHTS,
    "manifests/marked.yml": MARKED,
    "manifests/shout.yml": SHOUT,
    "manifests/versions.yml": VERSIONS,
    "manifests/together.yml": component(
        "together", "inference: service:together, batching: {maxSize: 8, maxDelayMs: 0}"
    ),
    "manifests/letters.yml": component("letters", "inference: service:letters"),
    "manifests/sleeper.yml": component(
        "sleeper", "inference: service:shout", "  scaling: {min: 0, max: 2, idleTimeout: 1s}\n"
    ),
    "manifests/web.yml": component("web", "app: service:web"),
    "service.py": SERVICE,
    "requirements.txt": "".join(f"{name}=={version}\n" for name, version in OLD.items()),
    "Dockerfile": DOCKERFILE,
}
IN_FLIGHT = 16
"""More than two instances can have at once by Little's law, at the rates below."""


def named(text: str) -> dict[str, str]:
    return {"name": "text", "datatype": "str", "data": text}


HEADERS = {"Authorization": "Basic " + b64encode(ALICE.encode()).decode()}


@pytest.fixture(scope="module")
def app(deployment: Processes, fleet: Fleet) -> Iterator[Application]:
    with closing(Api(deployment.url, deployment.token)) as api:
        app = Application(deployment, api)
        app.write(FILES)
        if deployment.contained:
            assert fleet.python_image == PYTHON_IMAGE
            module_image(fleet.docker, IMAGE, app.repository.working)
        app.start(FILES)
        app.api.send("PUT", f"/{app.name}/files/weights/m/mark", b"!", expect=(201,))
        for name in ("versions", "web", "together", "letters", "marked"):
            address = f"{app.path}/components/{name}"
            app.eventually(f"{name} is healthy", lambda: app.api.get(address)["status"] == "healthy")  # noqa: B023
        yield app


def test_the_modules_own_versions_are_what_it_gets(app: Application) -> None:
    asked = {"name": "asked", "datatype": "dict", "data": {"word": "hi"}}
    x = {"name": "x", "datatype": "FP64", "shape": [2], "data": [1.0, 2.0]}
    answer = app.call("POST", "/versions/predict", {"inputs": [asked, x]})
    assert {one["name"]: one["data"] for one in answer.json()["outputs"]} == {
        "versions": OLD, "word": "hi", "sum": [3.0]
    }  # fmt: skip
    assert app.call("POST", "/versions/predict", {"inputs": [{**asked, "data": {}}, x]}).status == 422


def test_a_function_is_a_model_of_the_open_inference_protocol(app: Application) -> None:
    assert app.call("GET", "/v2/health/ready").status == 200
    described = app.call("GET", "/v2/models/shout").json()
    assert described["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [1]}]
    text = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["hi"]}
    answer = app.call("POST", "/v2/models/shout/infer", {"inputs": [text]}).json()
    assert answer["outputs"] == [{"name": "said", "datatype": "BYTES", "shape": [1], "data": ["HI!"]}]


def test_a_returned_file_is_an_input_again_beside_the_models_box(app: Application) -> None:
    assert app.call("PUT", "/files/results/pages/a.txt", b"hi").status == 201
    page = {"name": "page", "datatype": "FILE", "data": "pages/a.txt"}
    for marks in ("!", "!!"):
        answer = app.call("POST", "/marked/predict", {"inputs": [page]})
        page = answer.json()["outputs"][0]
        stored = app.call("GET", f"/files/{page['data']}?download=1")
        assert (answer.status, stored.body) == (200, b"hi" + marks.encode())


def test_what_a_job_raised_is_for_owners_and_its_id_for_its_caller(app: Application) -> None:
    assert app.call("PUT", "/files/results/pages/b.txt", b"\xff").status == 201
    body = {"inputs": [{"name": "page", "datatype": "FILE", "data": "pages/b.txt"}]}
    run = app.call("POST", "/marked/predict", body, headers={"Prefer": "respond-async, wait=60"}).json()
    seen = app.api.get(f"{app.path}/runs/{run['id']}")
    assert (run["status"], seen["reason"]["error_id"]) == ("failed", run["reason"]["error_id"])
    assert ("error" in run["reason"], seen["reason"]["error"].split(":")[0]) == (False, "UnicodeDecodeError")


def test_requests_that_wait_are_called_together(app: Application) -> None:
    def call(text: str) -> list[dict[str, Any]]:
        with closing(Api(app.mesh.url, "")) as own:
            answer = app.call("POST", "/together/predict", {"inputs": [named(text)]}, api=own)
            found: list[dict[str, Any]] = answer.json()["outputs"]
            return found

    with ThreadPoolExecutor(12) as callers:
        answers = list(callers.map(call, "abcdefghijkl"))
    assert [said["data"] for said, _ in answers] == list("ABCDEFGHIJKL")
    assert 1 < max(together["data"][0] for _, together in answers) <= 8


def test_a_function_that_yields_is_streamed(app: Application) -> None:
    events = app.call("POST", "/letters/predict", {"inputs": [named("abc")]}).body.decode().split("\n\n")
    assert [json.loads(event[6:])["outputs"][0]["data"] for event in events[:-2]] == ["A", "B", "C"]


def test_a_component_that_nobody_calls_sleeps_until_the_next_call(app: Application) -> None:
    component = f"{app.path}/components/sleeper"
    app.eventually("it sleeps", lambda: app.api.get(component)["status"] == "asleep")
    app.eventually("its process has ended", lambda: not app.processes("sleeper"))
    answer = app.call("POST", "/sleeper/predict", {"inputs": [named("hi")]})
    assert answer.json()["outputs"][0]["data"] == "HI!"
    assert answer.headers["Server-Timing"].startswith("cold;dur=")


def test_a_call_may_become_a_run_that_waits_for_the_component(app: Application) -> None:
    app.eventually("it sleeps", lambda: app.api.get(f"{app.path}/components/sleeper")["status"] == "asleep")
    body = {"inputs": [named("hi")]}
    later = {"Prefer": "respond-async", "Idempotency-Key": "one"}
    answer = app.call("POST", "/sleeper/predict", body, headers=later)
    run = answer.json()
    assert (answer.status, answer.headers["Location"]) == (202, f"/{app.name}/runs/{run['id']}")
    assert app.call("POST", "/sleeper/predict", body, headers=later).json()["id"] == run["id"]
    assert app.call("POST", "/sleeper/predict", {"inputs": []}, headers=later).status == 422
    ended = app.call("GET", f"/runs/{run['id']}", headers={"Prefer": "wait=60"}).json()
    assert (ended["status"], ended["result"]["outputs"][0]["data"]) == ("succeeded", "HI!")
    wait = {"Prefer": "respond-async, wait=60"}
    answer = app.call("POST", "/shout/predict", {"inputs": []}, headers=wait)
    assert (answer.status, answer.headers["Preference-Applied"], answer.json()["status"]) == (200, "wait", "failed")
    assert (answer.json()["reason"]["status"], answer.json()["reason"]["errors"][0]["input"]) == (422, "text")
    assert app.call("POST", "/shout/predict", body, headers=wait, user="alice:wrong").status == 401


def test_a_web_application_has_every_path_below_its_own(app: Application) -> None:
    said = app.call("DELETE", "/web/a/b", {"x": 1}).json()
    root = f"/{app.name}/web"
    assert said == {"method": "DELETE", "path": f"{root}/a/b", "root": root, "size": len(json.dumps({"x": 1}))}
    assert app.call("GET", "/web/a", user="alice:wrong").status == 401
    asyncio.run(_talk(app))


async def _talk(app: Application) -> None:
    async def pieces() -> object:
        for _ in range(200):
            yield b"x" * 100_000

    address = f"{app.api.url}/{app.name}/web/"
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        async with session.put(address, data=pieces()) as answer:
            assert json.loads(await answer.read())["size"] == 20_000_000
        async with session.ws_connect(address) as socket:
            await socket.send_str("hi")
            assert await socket.receive_str() == "HI"


def test_no_call_fails_while_versions_replace_one_another(app: Application) -> None:
    with Load(app, 100) as load:
        for number in range(2):
            changed = SHOUT.replace("spec:\n", f"spec:\n  env: [{{name: NUMBER, value: '{number}'}}]\n", 1)
            assert app.deployed({"manifests/shout.yml": changed})["status"] == "live"
    assert len(load.told) > 50
    assert load.statuses == {200: len(load.told)}


def test_an_instance_that_is_killed_takes_only_its_own_calls_with_it(app: Application) -> None:
    app.eventually("only the last version is there", lambda: len(app.processes("shout")) == 2)
    before = app.processes("shout")
    with Load(app, 100) as load:
        app.eventually("calls are answered", lambda: len(load.told) > 50)
        os.kill(min(before), signal.SIGKILL)
        app.eventually("there are two again", lambda: len(app.processes("shout") - {min(before)}) == 2)
    assert {one.status for one in load.failed} <= {502, 503}
    assert all(one.retry_after for one in load.failed)
    assert len(load.failed) <= IN_FLIGHT
