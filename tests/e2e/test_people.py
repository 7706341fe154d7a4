"""People with roles in front of a real mesh: what each may, and how soon a role that is taken away is gone."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from tests.e2e.application import FILES, Application

PASSWORD = "correct horse battery"
GONE_WITHIN_S = 5.0
"""A second, and what a loaded machine adds."""
CALL = {"inputs": [{"name": "text", "datatype": "str", "data": "hi"}]}
ROLES = ("viewer", "caller", "developer", "owner")
ALLOWED: list[tuple[str, str, Any, tuple[int, ...]]] = [
    ("GET", "/api/v1/apps/APP", None, (200, 403, 200, 200)),
    ("GET", "/api/v1/apps/APP/members", None, (200, 403, 200, 200)),
    ("GET", "/api/v1/apps/APP/secrets", None, (200, 403, 200, 200)),
    ("POST", "/APP/shout/predict", CALL, (403, 200, 200, 200)),
    ("GET", "/APP/runs", None, (200, 200, 200, 200)),
    ("POST", "/APP/copy/runs", {"inputs": {"none": 1}}, (403, 422, 422, 422)),
    ("PUT", "/APP/files/results/g/none", None, (403, 200, 200, 200)),
    ("GET", "/APP/files/results/g/", None, (200, 200, 200, 200)),
    ("POST", "/api/v1/apps/APP/rollback", {"deployment": "none"}, (403, 403, 404, 404)),
    ("PUT", "/api/v1/apps/APP/secrets/users", {"data": {"alice": "correct horse"}}, (403, 403, 204, 204)),
    ("POST", "/api/v1/apps/APP/keys", {"user": "carol"}, (403, 403, 201, 201)),
    ("PUT", "/api/v1/apps/APP/members/user/none", {"role": "viewer"}, (403, 403, 403, 404)),
    ("GET", "/git/APP.git/info/refs?service=git-receive-pack", None, (403, 403, 409, 409)),
    ("GET", "/api/v1/users", None, (403, 403, 403, 403)),
    ("GET", "/api/v1/workers", None, (403, 403, 403, 403)),
    ("POST", "/api/v1/tokens", {"name": "x", "scopes": ["admin"]}, (403, 403, 403, 403)),
]  # fmt: skip
"""The answer to a viewer, a caller, a developer and an owner. The repository of the app is elsewhere."""


class People:
    """Accounts of a mesh, named as in `the-viewer`, and calls of theirs."""

    def __init__(self, mesh: Mesh, api: Api) -> None:
        self._mesh, self._api = mesh, api
        self._tokens: dict[str, str] = {}

    def add(self, name: str) -> None:
        invitation = self._api.send("POST", "/api/v1/users", {"name": f"the-{name}"}, expect=(201,)).json()
        body = {"token": invitation["token"], "password": PASSWORD}
        self._tokens[name] = self._api.send("POST", "/api/v1/setup", body, expect=(201,)).json()["token"]

    def give(self, app: str, name: str, role: str) -> None:
        self._api.send("PUT", f"/api/v1/apps/{app}/members/user/the-{name}", {"role": role}, expect=(204,))

    def call(self, name: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        with closing(http.client.HTTPConnection(urlsplit(self._mesh.url).netloc, timeout=60)) as connection:
            headers = {"Authorization": f"Bearer {self._tokens[name]}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            content = response.read()
            is_json = content and "json" in response.headers.get_content_type()
            return response.status, json.loads(content) if is_json else content

    def wait_for(self, name: str, method: str, path: str, body: Any, status: int) -> float:
        """Seconds until the call is answered so."""
        began = time.monotonic()
        while (answered := self.call(name, method, path, body)[0]) != status:
            assert time.monotonic() - began < GONE_WITHIN_S, answered
            time.sleep(0.05)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def app(embedded: Mesh, api: Api) -> Application:
    app = Application(embedded, api)
    app.start(FILES)
    return app


@pytest.fixture(scope="module")
def people(embedded: Mesh, api: Api, app: Application) -> People:
    people = People(embedded, api)
    for role in ROLES:
        people.add(role)
        people.give(app.name, role, role)
    return people


@pytest.mark.parametrize(("method", "path", "body", "expected"), ALLOWED, ids=[" ".join(row[:2]) for row in ALLOWED])
def test_each_role_may_what_the_table_says(
    people: People, app: Application, method: str, path: str, body: Any, expected: tuple[int, ...]
) -> None:
    answers = [people.call(role, method, path.replace("APP", app.name), body)[0] for role in ROLES]
    assert tuple(answers) == expected


def test_a_caller_has_runs_and_files_of_their_own(people: People, app: Application) -> None:
    people.add("other")
    people.give(app.name, "other", "caller")
    status, run = people.call("caller", "POST", f"/{app.name}/copy/runs", {})
    assert (status, run["id"] != "") == (202, True)
    assert people.call("caller", "GET", f"/{app.name}/runs/{run['id']}")[0] == 200
    assert people.call("other", "GET", f"/{app.name}/runs/{run['id']}")[0] == 404
    assert people.call("developer", "GET", f"/api/v1/apps/{app.name}/runs/{run['id']}")[0] == 200
    listed = people.call("caller", "GET", f"/{app.name}/runs")[1]["items"]
    assert [item["id"] for item in listed] == [run["id"]]
    assert people.call("other", "GET", f"/{app.name}/runs")[1]["items"] == []


def test_a_role_that_is_taken_away_is_gone_and_a_new_one_counts(people: People, app: Application, api: Api) -> None:
    people.add("guest")
    predict = ("POST", f"/{app.name}/shout/predict", CALL)
    assert people.call("guest", *predict)[0] == 401
    people.give(app.name, "guest", "caller")
    people.wait_for("guest", *predict, 200)
    api.send("DELETE", f"/api/v1/apps/{app.name}/members/user/the-guest", expect=(204,))
    people.wait_for("guest", *predict, 401)
    people.give(app.name, "guest", "developer")
    people.wait_for("guest", "GET", f"/api/v1/apps/{app.name}", None, 200)
    api.send("PATCH", "/api/v1/users/the-guest", {"disabled": True})
    people.wait_for("guest", "GET", f"/api/v1/apps/{app.name}", None, 401)


def test_who_has_created_an_app_owns_it_at_once(people: People, app: Application) -> None:
    name = f"{app.name}-new"
    assert people.call("developer", "POST", "/api/v1/apps", {"name": name})[0] == 201
    assert people.call("developer", "GET", f"/api/v1/apps/{name}")[0] == 200
    assert people.call("developer", "DELETE", f"/api/v1/apps/{name}")[0] == 204
    status, problem = people.call("caller", "POST", "/api/v1/apps", {"name": name})
    assert (status, "ask an administrator" in problem["detail"]) == (403, True)


def test_a_refusal_names_the_role_that_is_needed(people: People, app: Application) -> None:
    status, problem = people.call("viewer", "POST", f"/api/v1/apps/{app.name}/sync")
    assert (status, f"you need the role developer for {app.name}" in problem["detail"]) == (403, True)
    status, problem = people.call("viewer", "POST", f"/{app.name}/shout/predict", CALL)
    assert (status, problem["detail"]) == (403, f"you need the role caller for {app.name}")
