"""Every kind of credentials at every route that there is: who gets in, who is refused, and who is told a link to write.

The routes are those of the services themselves; one that is not in the table fails the test.
"""

from __future__ import annotations

import http.client
import json
from base64 import b64encode
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from tests.docs.test_http_api import Call, of_gateway, public
from tests.e2e.application import ALICE, FILES, Application

OPEN = """\
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: open}
spec: {mlComponent: {name: shout}, restfulApi: {path: open, auth: {none: {}}}}
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: keyed}
spec: {mlComponent: {name: shout}, restfulApi: {path: keyed, auth: {apiKey: {}}}}
"""
TOKENS = frozenset({"admin", "owner", "reader", "auditor", "stranger"})
KINDS = TOKENS | {"alice", "key", "wrong password", "nobody", "unknown token", "expired", "revoked", "other's key"}
Need = tuple[frozenset[str], frozenset[str]]
"""Who is let in, and who is known and refused (403); the others are 401."""
READ: Need = (frozenset({"admin", "owner", "reader", "auditor"}), frozenset({"stranger"}))
WRITE: Need = (frozenset({"admin", "owner"}), TOKENS - {"admin", "owner"})
HOOK: Need = (WRITE[0], frozenset())
READ_ALL: Need = (frozenset({"admin", "auditor"}), TOKENS - {"admin", "auditor"})
ADMIN: Need = (frozenset({"admin"}), TOKENS - {"admin"})
TOKEN: Need = (TOKENS, frozenset())
PERSON: Need = (frozenset(), TOKENS)
"""Operators' tokens have no account."""
ANYBODY: Need = (KINDS, frozenset())
CALL: Need = (frozenset({"alice", "admin", "owner"}), frozenset({"reader", "auditor"}))
LOOK: Need = (CALL[0] | CALL[1], frozenset())
LIST_RUNS: Need = (LOOK[0] | {"key"}, frozenset())
CHANGE_RUN: Need = (KINDS - {"reader", "auditor"}, frozenset({"reader", "auditor"}))

APP, RUN, FILE = "/api/v1/apps/{}", "/runs/{}", "/{}/files/{}/{}"
APPLIED = b"apiVersion: mlmesh/v1\nkind: PlatformApp\nmetadata: {name: APP}\nspec: {title: Test, moduleKind: base}\n"
ROUTES: dict[Call, tuple[Need, int, str, Any]] = {
    ("GET", "/"): (ANYBODY, 200, "/", None),
    ("GET", "/{}"): (ANYBODY, 200, "/APP", None),
    ("GET", "/{}/{}"): (ANYBODY, 303, "/APP/shout", None),
    ("GET", "/openapi.json"): (ANYBODY, 200, "/openapi.json", None),
    ("GET", "/healthz"): (ANYBODY, 200, "/healthz", None),
    ("GET", "/readyz"): (ANYBODY, 200, "/readyz", None),
    ("GET", "/metrics"): (READ_ALL, 200, "/metrics", None),
    ("GET", "/docs"): (ANYBODY, 200, "/docs", None),
    ("GET", "/{}/{}/docs"): (LOOK, 200, "/APP/shout/docs", None),
    ("GET", "/{}/{}/openapi.json"): (LOOK, 200, "/APP/shout/openapi.json", None),
    ("POST", "/{}/{}/predict"): (
        CALL,
        200,
        "/APP/shout/predict",
        {"inputs": [{"name": "text", "datatype": "str", "data": "hi"}]},
    ),
    ("POST", "/{}/{}/runs"): (CALL, 422, "/APP/copy/runs", {"inputs": {"none": 1}}),
    ("GET", "/{}/runs"): (LIST_RUNS, 200, "/APP/runs", None),
    ("GET", "/{}/runs/{}"): (ANYBODY, 404, "/APP/runs/r_none", None),
    ("DELETE", "/{}/runs/{}"): (CHANGE_RUN, 404, "/APP/runs/r_none", None),
    ("POST", "/{}/runs/{}/cancel"): (CHANGE_RUN, 404, "/APP/runs/r_none/cancel", None),
    ("POST", "/{}/runs/{}/retry"): (CHANGE_RUN, 404, "/APP/runs/r_none/retry", None),
    ("GET", "/{}/runs/{}/events"): (ANYBODY, 404, "/APP/runs/r_none/events", None),
    ("GET", "/{}/runs/{}/logs"): (ANYBODY, 404, "/APP/runs/r_none/logs", None),
    ("GET", "/{}/runs/{}/outputs/{}"): (ANYBODY, 404, "/APP/runs/r_none/outputs/x", None),
    ("GET", "/{}/runs/{}/deliveries"): (ANYBODY, 404, "/APP/runs/r_none/deliveries", None),
    ("POST", "/{}/runs/{}/deliveries/{}/redeliver"): (CHANGE_RUN, 404, "/APP/runs/r_none/deliveries/m/redeliver", None),
    ("GET", "/{}/files/{}"): (LOOK, 200, "/APP/files/results", None),
    ("HEAD", "/{}/files/{}"): (LOOK, 200, "/APP/files/results", None),
    ("PUT", "/{}/files/{}"): (CALL, 422, "/APP/files/results", b"x"),
    ("GET", FILE): (LOOK, 200, "/APP/files/results/g/f", None),
    ("HEAD", FILE): (LOOK, 200, "/APP/files/results/g/f", None),
    ("PUT", FILE): (CALL, 400, "/APP/files/results/g/f", None),
    ("DELETE", FILE): (CALL, 204, "/APP/files/results/g/none", None),
    ("GET", "/links/{}"): (ANYBODY, 403, "/links/none", None),
    ("HEAD", "/links/{}"): (ANYBODY, 403, "/links/none", None),
    ("PUT", "/links/{}"): (ANYBODY, 403, "/links/none", b"x"),
    ("POST", "/hooks/{}"): (HOOK, 204, "/hooks/APP", {"ref": "refs/heads/other"}),
    ("GET", "/api/v1/apps"): (TOKEN, 200, "/api/v1/apps", None),
    ("POST", "/api/v1/apps"): (WRITE, 409, "/api/v1/apps", {"name": "APP"}),
    ("GET", "/api/v1/templates"): (TOKEN, 200, "/api/v1/templates", None),
    ("POST", "/api/v1/apply"): (WRITE, 200, "/api/v1/apply", APPLIED),
    ("GET", APP): (READ, 200, "/api/v1/apps/APP", None),
    ("POST", f"{APP}/sync"): (WRITE, 202, "/api/v1/apps/APP/sync", None),
    ("GET", f"{APP}/deployments"): (READ, 200, "/api/v1/apps/APP/deployments", None),
    ("GET", f"{APP}/deployments/{{}}"): (READ, 404, "/api/v1/apps/APP/deployments/none", None),
    ("GET", f"{APP}/deployments/{{}}/builds"): (READ, 200, "/api/v1/apps/APP/deployments/none/builds", None),
    ("GET", f"{APP}/deployments/{{}}/builds/{{}}/log"): (
        READ,
        404,
        "/api/v1/apps/APP/deployments/none/builds/c/log",
        None,
    ),
    ("GET", f"{APP}/diff"): (READ, 200, "/api/v1/apps/APP/diff", None),
    ("POST", f"{APP}/diff"): (READ, 422, "/api/v1/apps/APP/diff", {"files": {}}),
    ("POST", f"{APP}/promote"): (WRITE, 409, "/api/v1/apps/APP/promote", {"from": "APP", "commit": "0000000"}),
    ("GET", f"{APP}/deliveries"): (READ, 200, "/api/v1/apps/APP/deliveries", None),
    ("POST", f"{APP}/deliveries/{{}}/redeliver"): (WRITE, 404, "/api/v1/apps/APP/deliveries/none/redeliver", None),
    ("POST", f"{APP}/rollback"): (WRITE, 404, "/api/v1/apps/APP/rollback", {"deployment": "none"}),
    ("GET", f"{APP}/components"): (READ, 200, "/api/v1/apps/APP/components", None),
    ("GET", f"{APP}/components/{{}}"): (READ, 404, "/api/v1/apps/APP/components/none", None),
    ("POST", f"{APP}/components/{{}}/restart"): (WRITE, 404, "/api/v1/apps/APP/components/none/restart", None),
    ("GET", f"{APP}/components/{{}}/logs"): (READ, 404, "/api/v1/apps/APP/components/none/logs", None),
    ("GET", f"{APP}/schedules"): (READ, 200, "/api/v1/apps/APP/schedules", None),
    ("POST", f"{APP}/schedules/{{}}/pause"): (WRITE, 404, "/api/v1/apps/APP/schedules/none/pause", None),
    ("POST", f"{APP}/schedules/{{}}/resume"): (WRITE, 404, "/api/v1/apps/APP/schedules/none/resume", None),
    ("GET", f"{APP}/secrets"): (READ, 200, "/api/v1/apps/APP/secrets", None),
    ("PUT", f"{APP}/secrets/{{}}"): (WRITE, 404, "/api/v1/apps/APP/secrets/none", {"data": {"a": "b"}}),
    ("DELETE", f"{APP}/secrets/{{}}"): (WRITE, 404, "/api/v1/apps/APP/secrets/none", None),
    ("DELETE", f"{APP}/secrets/{{}}/{{}}"): (WRITE, 404, "/api/v1/apps/APP/secrets/none/a", None),
    ("GET", f"{APP}/keys"): (READ, 200, "/api/v1/apps/APP/keys", None),
    ("POST", f"{APP}/keys"): (WRITE, 201, "/api/v1/apps/APP/keys", {"user": "carol"}),
    ("DELETE", f"{APP}/keys/{{}}"): (WRITE, 404, "/api/v1/apps/APP/keys/none", None),
    ("POST", "/api/v1/secrets/rekey"): (ADMIN, 200, "/api/v1/secrets/rekey", None),
    ("GET", "/api/v1/tokens"): (ADMIN, 200, "/api/v1/tokens", None),
    ("POST", "/api/v1/tokens"): (ADMIN, 409, "/api/v1/tokens", {"name": "admin", "scopes": ["read"]}),
    ("DELETE", "/api/v1/tokens/{}"): (ADMIN, 404, "/api/v1/tokens/none", None),
    ("POST", "/api/v1/setup"): (ANYBODY, 410, "/api/v1/setup", {"token": "none", "password": "correct horse battery"}),
    ("POST", "/api/v1/sessions"): (ANYBODY, 410, "/api/v1/sessions", {"link": "none"}),
    ("GET", "/api/v1/sessions"): (PERSON, 200, "/api/v1/sessions", None),
    ("DELETE", "/api/v1/sessions/{}"): (PERSON, 404, "/api/v1/sessions/none", None),
    ("POST", "/api/v1/sessions/links"): (ADMIN, 404, "/api/v1/sessions/links", {"user": "none"}),
    ("GET", "/api/v1/me"): (TOKEN, 200, "/api/v1/me", None),
    ("PATCH", "/api/v1/me"): (PERSON, 204, "/api/v1/me", {"theme": "dark"}),
    ("GET", "/api/v1/me/tokens"): (PERSON, 200, "/api/v1/me/tokens", None),
    ("POST", "/api/v1/me/tokens"): (PERSON, 201, "/api/v1/me/tokens", {"name": "x"}),
    ("DELETE", "/api/v1/me/tokens/{}"): (PERSON, 404, "/api/v1/me/tokens/none", None),
    ("GET", "/api/v1/users"): (ADMIN, 200, "/api/v1/users", None),
    ("POST", "/api/v1/users"): (ADMIN, 201, "/api/v1/users", {"name": "invited"}),
    ("PATCH", "/api/v1/users/{}"): (ADMIN, 404, "/api/v1/users/none", {}),
    ("DELETE", "/api/v1/users/{}"): (ADMIN, 404, "/api/v1/users/none", None),
    ("POST", "/api/v1/users/{}/invitation"): (ADMIN, 404, "/api/v1/users/none/invitation", None),
    ("GET", f"{APP}/members"): (READ, 200, "/api/v1/apps/APP/members", None),
    ("PUT", f"{APP}/members/{{}}/{{}}"): (WRITE, 404, "/api/v1/apps/APP/members/user/none", {"role": "viewer"}),
    ("DELETE", f"{APP}/members/{{}}/{{}}"): (WRITE, 404, "/api/v1/apps/APP/members/user/none", None),
    ("GET", "/api/v1/workers"): (READ_ALL, 200, "/api/v1/workers", None),
    ("POST", "/api/v1/workers/{}/drain"): (ADMIN, 404, "/api/v1/workers/none/drain", None),
    ("GET", "/api/v1/queues"): (READ_ALL, 200, "/api/v1/queues", None),
    ("GET", "/api/v1/queues/{}/dead"): (READ_ALL, 404, "/api/v1/queues/none/dead", None),
    ("POST", "/api/v1/queues/{}/redrive"): (ADMIN, 404, "/api/v1/queues/none/redrive", None),
    ("POST", "/api/v1/validate"): (TOKEN, 200, "/api/v1/validate", {"files": {}}),
    ("GET", "/api/v1/schema/{}.json"): (ANYBODY, 404, "/api/v1/schema/none.json", None),
    ("DELETE", APP): (ADMIN, 404, "/api/v1/apps/no-such-app", None),
}
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PAGES = ("/", "/APP", "/APP/shout")
"""For people with a browser."""


class Callers:
    """One application, and everybody's credentials for it."""

    def __init__(self, mesh: Mesh, api: Api) -> None:
        self.app = Application(mesh, api)
        self.app.start({**FILES, "manifests/open.yml": OPEN})
        other = Application(mesh, api)
        api.send("POST", "/api/v1/apps", {"name": other.name}, expect=(201,))
        name = self.app.name
        key, foreign = (
            api.send("POST", f"/api/v1/apps/{one.name}/keys", {"user": "bob"}, expect=(201,)).json()["key"]
            for one in (self.app, other)
        )
        made = {
            who: self._token(api, f"{who}-{name}", scope)
            for who, scope in (("owner", f"write:{name}"), ("reader", f"read:{name}"), ("auditor", "read"),
                               ("stranger", f"write:{other.name}"), ("revoked", "admin"))
        }  # fmt: skip
        made |= {"admin": mesh.token, "unknown token": "mlmesh_none"}
        made["expired"] = self._token(api, f"expired-{name}", "admin", "1s")
        api.send("DELETE", f"/api/v1/tokens/revoked-{name}", expect=(204,))
        self.headers = {who: {"Authorization": f"Bearer {token}"} for who, token in made.items()}
        self.headers |= {"key": {"X-API-Key": key}, "other's key": {"X-API-Key": foreign}, "nobody": {}}
        self.headers |= {"alice": basic(ALICE), "wrong password": basic("alice:wrong")}
        assert self.headers.keys() == KINDS
        for who in ("alice", "owner"):
            assert self.send(who, "PUT", "/APP/files/results/g/f", b"x")[0] == 201
        self.app.eventually("the token is over", lambda: self.send("expired", "GET", "/api/v1/apps")[0] == 401)
        self.url = mesh.url

    @staticmethod
    def _token(api: Api, name: str, scope: str, ends: str | None = None) -> str:
        body = {"name": name, "scopes": [scope], **({"expires_in": ends} if ends else {})}
        return str(api.send("POST", "/api/v1/tokens", body, expect=(201,)).json()["token"])

    def send(self, who: str, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        content = None if content is None else content.replace(b"APP", self.app.name.encode())
        with closing(http.client.HTTPConnection(urlsplit(self.app.api.url).netloc, timeout=60)) as connection:
            accept = "text/html" if path in PAGES else "application/json"
            sent = {"Content-Type": "application/json", "Accept": accept, **self.headers[who]}
            connection.request(method, path.replace("APP", self.app.name), content, sent)
            answer = connection.getresponse()
            return answer.status, answer.read()


def basic(pair: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


@pytest.fixture(scope="module")
def callers(embedded: Mesh, api: Api) -> Callers:
    return Callers(embedded, api)


def expected(need: Need, status: int, who: str) -> int:
    return status if who in need[0] else 403 if who in need[1] else 401


def test_every_route_has_its_row() -> None:
    assert set(ROUTES) == {*public(), *of_gateway()}


def test_who_gets_in_where_and_who_is_told_a_link_to_write(callers: Callers) -> None:
    wrong = []
    for (method, route), (need, status, path, body) in ROUTES.items():
        for who in sorted(KINDS):
            found, content = callers.send(who, method, path, body)
            wanted = expected(need, status, who)
            if found != wanted:
                wrong.append(f"{method} {route} {who}: {found}, not {wanted}: {content[:200]!r}")
            is_link = b"presigned_put_url" in content and route != "/openapi.json"  # it describes the member
            if is_link and who not in CALL[0]:
                wrong.append(f"{method} {route} tells {who} a link to write")
    assert not wrong, "\n".join(wrong)


def test_other_methods_lead_nowhere(callers: Callers) -> None:
    wrong = []
    for (_, route), (_, _, path, _) in ROUTES.items():
        for method in sorted(set(VERBS) - {method for method, same in ROUTES if same == route}):
            for who in sorted(KINDS):
                found, content = callers.send(who, method, path)
                if found not in (401, 403, 404, 405) or b"presigned_put_url" in content:
                    wrong.append(f"{method} {path} {who}: {found}: {content[:200]!r}")
    assert not wrong, "\n".join(wrong)
