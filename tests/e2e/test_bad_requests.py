"""What callers send that cannot be right: who they are, what they ask, where they point. Nothing of it is stored."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from deploy.demo.api import Answer, Api
from deploy.demo.mesh import Mesh
from deploy.demo.repository import announcement
from tests.e2e.application import ALICE, FILES, PASSWORD, Application
from tests.registry.forges.push_documents import SIDE
from tests.registry.forges.sent_deliveries import SAMPLES, SIGNING_TOKEN

ANY = tuple(range(200, 600))
RAISING = 'def shout(text: str, times: int = 1) -> dict:\n    raise ValueError("too " + text)\n'
LONG = "x" * 2000
NAMES = ["..", "../up", "a/../../up", "/etc/passwd", "a\0b", LONG]


@pytest.fixture(scope="module")
def app(embedded: Mesh, api: Api) -> Application:
    application = Application(embedded, api)
    application.start()
    return application


@pytest.fixture
def unchanged(app: Application, embedded: Mesh) -> Iterator[None]:
    """The box has afterwards what it had before, and so has the store."""
    before, stored = listing(app), objects(embedded)
    yield
    assert (listing(app), objects(embedded)) == (before, stored)


def listing(app: Application) -> Any:
    return app.call("GET", "/files/results/").json()["items"]


def objects(mesh: Mesh) -> set[Path]:
    return {path for path in (mesh.data / "store").rglob("*") if path.is_file() and "/.internal/" not in str(path)}


def predict(app: Application, inputs: Any, **more: Any) -> Answer:
    return app.call("POST", "/shout/predict", {"inputs": inputs, **more})


def item(name: str, data: Any, datatype: str = "str") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "data": data}


@pytest.mark.parametrize(
    ("inputs", "named", "message"),
    [
        ([], "text", "is missing"),
        ([item("text", "a"), item("colour", "red")], "colour", "is not an input of this function"),
        ([item("text", [1, 2], "INT32")], "text", "str"),
        ([item("text", "a"), item("times", "many")], "times", "INT"),
    ],
    ids=["missing", "extra", "datatype", "type"],
)
def test_a_wrong_input_is_422_and_named(app: Application, inputs: Any, named: str, message: str) -> None:
    answer = predict(app, inputs)
    problem = answer.json()
    assert (answer.status, [error["input"] for error in problem["errors"]]) == (422, [named]), problem
    assert message in problem["errors"][0]["message"]


def test_a_body_that_is_no_json_is_400(app: Application) -> None:
    assert app.call("POST", "/shout/predict", b"{", headers={"Content-Type": "application/json"}).status == 400


@pytest.mark.parametrize("path", ["/shoot/predict", "/shout/forecast", "/runs/r_unknown", "/runs/r_unknown/logs"])
def test_what_is_not_there_is_404(app: Application, path: str) -> None:
    answer = app.call("POST" if "predict" in path else "GET", path, {} if "predict" in path else None)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_a_function_that_raises_is_500_with_its_message_for_owners_and_its_traceback_in_the_log(
    embedded: Mesh, api: Api
) -> None:
    app = Application(embedded, api)
    app.push({**FILES, "service.py": RAISING})
    app.attach()
    assert app.settled()["status"] == "live"
    answer = app.eventually("it answers", lambda: found if (found := app.shout("bad")).status == 500 else None)
    assert b"Traceback" not in answer.body
    error = answer.json()
    log = app.eventually(
        "the traceback is in the log",
        lambda: text if "ValueError: too bad" in (text := component_log(app)) else None,
    )
    assert "Traceback" in log
    assert error["error_id"] in log


def component_log(app: Application) -> str:
    return app.api.send("GET", f"{app.path}/components/shout/logs").body.decode()


def test_a_stage_that_exits_3_fails_the_run_with_its_code_and_last_lines(app: Application) -> None:
    run = app.ended(app.submit({"exit": {"one": 3}}).headers["Location"])
    assert run["status"] == "failed"
    assert {key: run["reason"][key] for key in ("code", "exit_code", "stage")} == {
        "code": "error", "exit_code": 3, "stage": "one",
    }  # fmt: skip
    assert run["reason"]["log_tail"] == ["stage one begins", "stage one gives up"]
    assert [stage["status"] for stage in run["stages"]] == ["failed", "skipped"]


@pytest.mark.parametrize(
    "user", ["alice:wrong", "mallory:" + PASSWORD, "alice:", "", None], ids=["password", "name", "empty", "none", "no"]
)
def test_wrong_or_no_credentials_are_401(app: Application, user: str | None) -> None:
    headers = {"Authorization": ""} if not user else None
    answer = app.api.send(
        "POST", f"/{app.name}/shout/predict", {}, user=user or None, headers=headers, expect=ANY
    )  # an empty header: no credentials at all
    assert (answer.status, "WWW-Authenticate" in answer.headers) == (401, True)


def test_the_right_password_of_another_app_is_401(app: Application, embedded: Mesh, api: Api) -> None:
    other = Application(embedded, api)
    other.push({**FILES, "manifests/boxes.yml": FILES["manifests/boxes.yml"].replace("[alice]", "[bob]")})
    other.attach(users=("bob",))
    assert other.settled()["status"] == "live"
    assert other.call("GET", "/runs", user=f"bob:{PASSWORD}").status == 200
    assert other.call("GET", "/runs", user=ALICE).status == 401
    assert app.call("GET", "/runs", user=f"bob:{PASSWORD}").status == 401


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", NAMES, ids=repr)
@pytest.mark.parametrize("place", ["box", "group", "file"])
def test_a_hostile_name_of_a_file_is_refused_and_stores_nothing(app: Application, name: str, place: str) -> None:
    parts = {"box": "results", "group": "g", "file": "f", place: quote(name, safe="")}
    answer = app.call("PUT", f"/files/{parts['box']}/{parts['group']}/{parts['file']}", b"content")
    assert answer.status in ((400, 404, 422) if place == "box" else (400, 422)), answer.body  # 404: no such box


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_hostile_output_folder_or_input_of_a_run_is_refused(app: Application, name: str) -> None:
    bodies: tuple[dict[str, Any], ...] = (
        {"outputs": {"second": name}},
        {"outputs": {name: "results/x"}},
        {"inputs": {name: {}}},
    )
    for body in bodies:
        answer = app.call("POST", "/copy/runs", body)
        assert answer.status in (400, 422), (body, answer.body)


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_hostile_name_of_an_app_is_refused(app: Application, name: str) -> None:
    declared = {
        "apiVersion": "mlmesh/v1", "kind": "PlatformApp", "metadata": {"name": name},
        "spec": {"title": "t", "moduleKind": "base"},
    }  # fmt: skip
    body = json.dumps(declared).encode()
    answer = app.api.send("POST", "/api/v1/apply", body, headers={"Content-Type": "application/yaml"}, expect=ANY)
    assert answer.status in (400, 422), answer.body
    assert app.api.send("GET", f"/api/v1/apps/{quote(name, safe='')}", expect=ANY).status in (400, 404, 422)


@pytest.mark.usefixtures("unchanged")
def test_a_box_over_its_capacity_is_413_with_the_figures(app: Application) -> None:
    answer = app.call("PUT", "/files/results/big/file", b"x" * 11_000_000)
    problem = answer.json()
    assert (answer.status, problem["capacity"]) == (413, 10_000_000), problem
    assert {"used", "reserved"} <= problem.keys()


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("close", [True, False])
def test_who_sends_all_before_it_reads_is_told_that_the_box_is_full(app: Application, close: bool) -> None:
    place = urlsplit(app.api.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60.0)
    headers = {"Authorization": f"Basic {b64encode(ALICE.encode()).decode()}", "Content-Length": str(100 << 20)}
    headers |= {"Connection": "close"} if close else {}
    with closing(connection):
        connection.request("PUT", f"/{app.name}/files/results/big/file", (bytes(1 << 20) for _ in range(100)), headers)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["capacity"]) == (413, 10_000_000)


def signed(app: Application, secret: str, kind: str) -> tuple[bytes, dict[str, str]]:
    body, headers = announcement(app.repository, secret)
    if kind == "gitea":
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return body, {
            "Authorization": "",
            "X-Gitea-Event": "push",
            "X-Gitea-Delivery": "d",
            "X-Gitea-Signature": digest,
        }
    if kind == "bearer":
        return body, {"Authorization": f"Bearer {secret}"}
    return body, headers


@pytest.mark.parametrize("kind", ["github", "gitea", "bearer"])
def test_a_webhook_with_a_bad_signature_is_401(app: Application, kind: str) -> None:
    before = deployments(app)
    body, headers = signed(app, "guessed", kind)
    assert app.api.send("POST", f"/hooks/{app.name}", body, headers=headers, expect=ANY).status == 401
    assert deployments(app) == before


def test_a_webhook_of_each_forge_passes_the_gateway(app: Application) -> None:
    answers = {}
    for title, sample in SAMPLES.items():
        if sample.secret != SIGNING_TOKEN:
            sent = sample.send(SIDE, form=sample.has_forms, secret=app.hook, delivery=title.replace(" ", "-")[:30])
            headers = {"Authorization": "", **sent.headers}
            answers[title] = app.api.send("POST", f"/hooks/{app.name}", sent.body, headers=headers, expect=ANY).status
    assert set(answers.values()) == {204}, answers
    ping = {"Authorization": "", "X-Event-Key": "diagnostics:ping"}
    assert app.api.send("POST", f"/hooks/{app.name}", {"test": True}, headers=ping).json() == {"status": "pong"}
    listed = app.api.get(f"{app.path}/deliveries")["items"]
    assert {item["forge"] for item in listed} >= {sample.name for sample in SAMPLES.values()}


def test_a_webhook_over_10_mb_is_413(app: Application) -> None:
    answer = app.api.send("POST", f"/hooks/{app.name}", b"x" * 10_000_001, expect=ANY)
    assert answer.status == 413


def test_a_known_delivery_is_200_and_deploys_nothing_again(app: Application) -> None:
    app.push({"notes.txt": "1"})
    body, headers = announcement(app.repository, app.hook)
    first = app.api.send("POST", f"/hooks/{app.name}", body, headers=headers, expect=ANY)
    second = app.api.send("POST", f"/hooks/{app.name}", body, headers=headers, expect=ANY)
    assert (first.status, second.status) == (202, 200)
    assert first.headers["Location"] == second.headers["Location"]
    app.settled()


def deployments(app: Application) -> list[str]:
    return [one["id"] for one in app.api.get(f"{app.path}/deployments")["items"]]
