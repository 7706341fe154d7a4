"""Authentication: a table of credentials, routes and statuses, over real sockets."""

import asyncio
import hashlib
from typing import Any

import pytest

from libs.common.errors import Forbidden
from libs.common.identity import ANONYMOUS, OWNER_USER, Caller
from services.gateway.auth import auth_refresh
from services.gateway.auth.auth_refresh import AuthRefresh
from services.gateway.auth.authenticator import find_role_user
from services.gateway.routing.route_table import RouteTable
from tests.gateway.mesh import ALICE, CHEAP_HASHER, DEADLINE_S, Mesh, app_document, basic_auth, bearer_auth, wait_until

KEY = {"X-API-Key": "key-of-bob"}
P, K, N, F = "/demo/digits/predict", "/demo/keyed/predict", "/demo/open/predict", "/demo/files/data/g/f"
CASES: list[tuple[str, str, dict[str, str], int, str | None]] = [
    ("POST", P, {}, 401, None),
    ("POST", P, ALICE, 200, "alice"),
    ("POST", P, basic_auth("alice", "wrong"), 401, None),
    ("POST", P, basic_auth("eve", "secret"), 401, None),
    ("POST", P, {"Authorization": "Basic !!"}, 401, None),
    ("POST", P, KEY, 401, None),
    ("POST", P, bearer_auth("owner"), 200, "developer"),
    ("POST", P, bearer_auth("root"), 200, "developer"),
    ("POST", P, bearer_auth("reader"), 403, None),
    ("POST", P, bearer_auth("stranger"), 401, None),
    ("POST", P, bearer_auth("unknown"), 401, None),
    ("POST", K, KEY, 200, "bob"),
    ("POST", K, bearer_auth("key-of-bob"), 200, "bob"),
    ("POST", K, {"X-API-Key": "other"}, 401, None),
    ("POST", K, ALICE, 401, None),
    ("POST", N, {}, 200, "anonymous"),
    ("POST", N, bearer_auth("unknown"), 200, "anonymous"),
    ("POST", N, bearer_auth("owner"), 200, "developer"),
    ("GET", F, {}, 401, None),
    ("GET", F, ALICE, 200, "alice"),
    ("GET", F, KEY, 200, "bob"),
    ("GET", F, bearer_auth("reader"), 200, "developer"),
    ("PUT", F, bearer_auth("reader"), 403, None),
    ("PUT", F, bearer_auth("owner"), 200, "developer"),
    ("GET", "/demo/runs", ALICE, 200, "alice"),
    ("GET", "/demo/runs", KEY, 200, "bob"),
    ("GET", "/demo/runs", {"X-API-Key": "other"}, 401, None),
    ("GET", "/demo/runs", bearer_auth("reader"), 200, "developer"),
    ("GET", "/demo/runs", {}, 401, None),
    ("GET", "/demo/runs/r_1", {}, 200, "anonymous"),
    ("GET", "/demo/runs/r_1/logs", {"X-API-Key": "other"}, 200, "anonymous"),
    ("POST", "/demo/runs/r_1/cancel", {}, 200, "anonymous"),
    ("GET", "/demo/runs/r_1", ALICE, 200, "alice"),
    ("POST", "/demo/train/runs", ALICE, 200, "alice"),
    ("POST", "/demo/train/runs", {}, 401, None),
]


@pytest.mark.parametrize(("method", "path", "headers", "status", "user"), CASES)
async def test_a_caller_is_known_or_refused(
    mesh: Mesh, method: str, path: str, headers: dict[str, str], status: int, user: str | None
) -> None:
    response_status, answered, _ = await mesh.call(method, path, headers={**headers, "X-Mlmesh-User": "root"})
    assert response_status == status
    if status == 401:
        scheme = (
            "Bearer" if path.startswith("/demo/keyed/") else "Basic"
        )  # a browser asks for a password that can be right
        assert answered["WWW-Authenticate"] == f'{scheme} realm="demo"'
    users = [
        request.headers.get("x-mlmesh-user") for part in (mesh.component, mesh.databox) for request in part.requests
    ]
    users += [request.headers["x-mlmesh-user"] for request in mesh.scheduler.requests if "runs" in request.target]
    assert [request for request in users if request] == ([user] if user else [])


async def test_a_changed_password_counts_at_once(mesh: Mesh) -> None:
    assert (await mesh.call("POST", P, headers=ALICE))[0] == 200
    users = {"people": {"alice": CHEAP_HASHER.hash("new")}}
    mesh.scheduler.publish({"demo": app_document(mesh.component.port, users=users)})
    requests_before = len(mesh.scheduler.requests)
    await wait_until(lambda: len(mesh.scheduler.requests) > requests_before + 1)
    assert (await mesh.call("POST", P, headers=ALICE))[0] == 401
    assert (await mesh.call("POST", P, headers=basic_auth("alice", "new")))[0] == 200


async def test_a_key_that_was_made_a_moment_ago_is_known(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_update, is_waiting = AuthRefresh.wait_for_update, asyncio.Event()

    async def wait(*arguments: Any) -> RouteTable:
        is_waiting.set()
        return await wait_for_update(*arguments)

    monkeypatch.setattr(AuthRefresh, "wait_for_update", wait)
    monkeypatch.setattr(auth_refresh, "PROPAGATION_S", DEADLINE_S)
    call = asyncio.create_task(mesh.call("POST", "/demo/keyed/predict", headers={"X-API-Key": "new"}))
    await is_waiting.wait()
    keys = {hashlib.sha256(b"new").hexdigest(): "carol"}
    mesh.scheduler.publish({"demo": app_document(mesh.component.port, keys=keys)})
    assert (await call)[0] == 200


async def test_runs_name_the_pipelines_that_the_credential_is_good_for(mesh: Mesh) -> None:
    await mesh.call("GET", "/demo/runs?limit=5", headers=ALICE)
    await mesh.call("GET", "/demo/runs/7", headers=bearer_auth("owner"))
    requests = [request for request in mesh.scheduler.requests if "runs" in request.target]
    assert [(request.target, request.headers["x-mlmesh-pipelines"]) for request in requests] == [
        ("/internal/apps/demo/runs?limit=5", "classifier training"),
        ("/internal/apps/demo/runs/7", "*"),
    ]


async def test_a_token_is_asked_for_once(mesh: Mesh) -> None:
    for _ in range(3):
        await mesh.call("GET", "/api/v1/apps", headers=bearer_auth("owner"))
    assert len([request for request in mesh.registry.requests if "verify" in request.target]) == 1


async def test_an_owner_reaches_files_and_runs_that_nobody_published(mesh: Mesh) -> None:
    mesh.scheduler.publish({"bare": app_document(mesh.component.port, apis=[])})
    requests_before = len(mesh.scheduler.requests)
    await wait_until(lambda: len(mesh.scheduler.requests) > requests_before + 1)
    assert (await mesh.call("GET", "/bare/files/data/", headers=bearer_auth("root")))[0] == 200
    assert (await mesh.call("GET", "/bare/runs", headers=bearer_auth("root")))[0] == 200
    status, _, problem = await mesh.call("GET", "/bare/files/data/", headers=ALICE)
    assert (status, problem["detail"]) == (
        404,
        "bare publishes no files; an APIComponent with files would publish them",
    )
    status, _, problem = await mesh.call("GET", "/bare/runs", headers=ALICE)
    assert (status, problem["detail"]) == (404, "bare has no runs: it publishes neither a pipeline nor a function")


@pytest.mark.parametrize("name", [OWNER_USER, ANONYMOUS])
def test_a_caller_is_never_the_owner_user_by_name(name: str) -> None:
    caller = Caller(person=name, scopes=frozenset({"call:demo"}))
    with pytest.raises(Forbidden, match="another name"):
        find_role_user(caller, "demo", "POST")
    assert find_role_user(Caller(person="ivanov", scopes=frozenset({"call:demo"})), "demo", "POST") == "ivanov"
