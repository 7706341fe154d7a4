"""The small application on the embedded mesh: what the other tests of this folder stand on."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from tests.e2e.application import ALICE, COMPONENT, FILES, Application

BATCHED = """\
import time

def shout(text: list[str]) -> list[dict]:
    time.sleep(0.2)
    return [{"said": one.upper(), "together": len(text)} for one in text]
"""
STREAMED = """\
def shout(text: str):
    for letter in text:
        yield {"said": letter.upper()}
"""


def test_the_small_application_answers_and_runs(embedded: Mesh, api: Api) -> None:
    app = Application(embedded, api)
    app.start()
    assert app.shout("hi").json()["outputs"][0]["data"] == "HI!"
    place = app.submit().headers["Location"]
    run = app.ended(place)
    assert run["status"] == "succeeded", run
    first, second = app.outputs(place)["marks"].split()
    assert first != second


def test_a_run_is_followed_while_it_goes_on(embedded: Mesh, api: Api) -> None:
    app = Application(embedded, api)
    app.start({name: text for name, text in FILES.items() if name != "manifests/shout.yml"})
    accepted = app.submit({"seconds": {"one": 1.0}})
    assert accepted.status == 202, accepted.body
    place = accepted.headers["Location"]
    stream = api.send("GET", f"{place}/logs?follow=1", user=ALICE).body.decode()
    assert [line for line in stream.splitlines() if line.startswith(("data", "event: end"))] == [
        "data: stage one begins",
        "data: stage two begins",
        "event: end",
        'data: {"status":"succeeded"}',
    ]


def test_requests_that_wait_are_called_together(embedded: Mesh, api: Api) -> None:
    app = Application(embedded, api)
    manifest = COMPONENT.replace("service:shout}", "service:shout, batching: {maxSize: 8, maxDelayMs: 0}}")
    app.start({**FILES, "manifests/shout.yml": manifest, "service.py": BATCHED})

    def shout(text: str) -> list[dict[str, Any]]:
        with closing(Api(embedded.url, "")) as own:
            found: list[dict[str, Any]] = app.shout(text, own).json()["outputs"]
            return found

    with ThreadPoolExecutor(12) as callers:
        answers = list(callers.map(shout, "abcdefghijkl"))
    assert [said["data"] for said, _ in answers] == list("ABCDEFGHIJKL")
    assert 1 < max(together["data"][0] for _, together in answers) <= 8


def test_a_component_that_nobody_calls_sleeps_until_the_next_call(embedded: Mesh, api: Api) -> None:
    app = Application(embedded, api)
    manifest = COMPONENT.replace("service:shout}", "service:shout}\n  scaling: {min: 0, max: 2, idleTimeout: 1s}")
    app.start({**FILES, "manifests/shout.yml": manifest})
    component = f"{app.path}/components/shout"
    app.eventually("the component sleeps", lambda: api.get(component)["status"] == "asleep")
    answer = app.shout("hi")
    assert answer.json()["outputs"][0]["data"] == "HI!"
    assert answer.headers["Server-Timing"].startswith("cold;dur=")
    assert api.get(component)["status"] == "healthy"


def test_a_function_that_yields_is_streamed(embedded: Mesh, api: Api) -> None:
    app = Application(embedded, api)
    app.start({**FILES, "service.py": STREAMED})
    events = app.shout("abc").body.decode().split("\n\n")
    assert [json.loads(event[6:])["outputs"][0]["data"] for event in events[:-2]] == ["A", "B", "C"]
    assert events[-2:] == ["event: end\ndata: {}", ""]
