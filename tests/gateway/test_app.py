"""Every kind of route, with and without the other services."""

import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from libs.common.signed_tokens import Grant, GrantSigner
from tests.gateway.fake_server import ReceivedRequest
from tests.gateway.mesh import ALICE, INTERNAL, Mesh, bearer_auth, run_services, wait_until_ready

REFUSED = [
    ("GET", "/", 404),
    ("POST", "/nobody/digits/predict", 404),
    ("POST", "/demo/unknown/predict", 404),
    ("POST", "/demo/train/predict", 404),
    ("POST", "/demo/digits/runs", 404),
    ("GET", "/api/v1/apps", 401),
    ("GET", "/internal/table", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), REFUSED)
async def test_an_address_is_refused(mesh: Mesh, method: str, path: str, status: int) -> None:
    response_status, headers, problem = await mesh.call(method, path)
    assert (response_status, problem["status"], headers["X-Mlmesh-Error"]) == (status, status, "1")
    assert problem["request_id"] == headers["X-Request-ID"]


UNKNOWN = [
    ("POST", "/nobody/digits/predict",
     'no app "nobody" is live; see why with: mlmesh app show nobody'),
    ("POST", "/demo/unknown/predict", 'the app "demo" has no API at "unknown"'),
    ("POST", "/demo/train/predict",
     '"train" of demo is a pipeline; start it with POST /demo/train/runs, or: mlmesh run start demo train'),
    ("POST", "/demo/digits/runs",
     '"digits" of demo is a function; call it with POST /demo/digits/predict, or: mlmesh predict demo digits'),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "detail"), UNKNOWN)
async def test_what_is_not_there_is_named(mesh: Mesh, method: str, path: str, detail: str) -> None:
    status, _, problem = await mesh.call(method, path, headers=ALICE)
    assert (status, problem["detail"]) == (404, detail)


WRONG = [
    ("GET", "/demo/digits/predict", "POST"),
    ("POST", "/demo/files/data/g/f", "GET, HEAD, PUT, DELETE"),
    ("GET", "/hooks/demo", "POST"),
]


@pytest.mark.parametrize(("method", "path", "allowed"), WRONG)
async def test_a_wrong_method_is_told_the_right_ones(mesh: Mesh, method: str, path: str, allowed: str) -> None:
    status, headers, _ = await mesh.call(method, path)
    assert (status, headers["Allow"]) == (405, allowed)


async def test_the_platform_api_demands_a_token(mesh: Mesh) -> None:
    assert (await mesh.call("GET", "/api/v1/apps"))[1]["WWW-Authenticate"] == "Bearer"
    assert (await mesh.call("GET", "/api/v1/apps", headers=bearer_auth("nobody")))[0] == 401
    assert (await mesh.call("GET", "/api/v1/schema/Component.json"))[0] == 200


def identity(request: ReceivedRequest) -> tuple[str, ...]:
    return tuple(request.headers[name] for name in ("authorization", "x-mlmesh-token-name", "x-mlmesh-scopes"))


async def test_the_platform_api_goes_on_with_who_calls(mesh: Mesh) -> None:
    await mesh.call("PUT", "/api/v1/apps/demo/secrets/a%2Fb?x=1", data=b"{}", headers=bearer_auth("owner"))
    await mesh.call("GET", "/api/v1/apps/demo/runs", headers=bearer_auth("owner"))
    registry, scheduler = (
        mesh.registry.requests[-1],
        next(request for request in mesh.scheduler.requests if "runs" in request.target),
    )
    assert (registry.method, registry.target, registry.body) == ("PUT", "/api/v1/apps/demo/secrets/a%2Fb?x=1", b"{}")
    assert identity(registry) == identity(scheduler) == (f"Bearer {INTERNAL}", "owners", "write:demo")


async def test_a_webhook_goes_on_as_it_came(mesh: Mesh) -> None:
    sent = {"X-Hub-Signature-256": "sha256=1", "X-GitHub-Event": "push", "X-Mlmesh-Authorization": "forged"}
    await mesh.call("POST", "/hooks/demo", data=b" raw ", headers={**sent, **bearer_auth("anything")})
    request = mesh.registry.requests[-1]
    assert (request.target, request.body, request.headers["x-hub-signature-256"]) == (
        "/hooks/demo",
        b" raw ",
        "sha256=1",
    )
    assert request.headers["authorization"] == f"Bearer {INTERNAL}"
    assert request.headers["x-mlmesh-authorization"] == "Bearer anything"


async def test_a_files_path_keeps_its_encoding(mesh: Mesh) -> None:
    await mesh.call("GET", "/demo/files/data/g/a%20b%2Fc%C3%A9+d?prefix=%2B", headers=ALICE)
    assert mesh.databox.requests[-1].target == (
        "/internal/apps/demo/users/alice/files/data/g/a%20b%2Fc%C3%A9+d?prefix=%2B"
    )


async def test_a_link_needs_nothing_else(mesh: Mesh) -> None:
    await mesh.call("PUT", "/links/a%2Bb", data=b"bytes", headers={"Range": "bytes=0-"})
    request = mesh.databox.requests[-1]
    assert (request.method, request.target, request.body, request.headers["range"]) == (
        "PUT", "/links/a%2Bb", b"bytes", "bytes=0-"
    )  # fmt: skip


async def test_head_is_answered_without_a_body(mesh: Mesh) -> None:
    for _ in range(2):
        status, _, content = await mesh.call("HEAD", "/demo/files/data/g/f", headers=ALICE)
        assert (status, content) == (200, b"")


async def test_a_grant_stands_for_its_caller_in_its_boxes(mesh: Mesh) -> None:
    await mesh.call("POST", "/demo/digits/predict", headers=ALICE)
    grant = {"X-Mlmesh-Grant": mesh.component.requests[0].headers["x-mlmesh-grant"]}
    assert (await mesh.call("GET", "/demo/files/data/g/f", headers=grant))[0] == 200
    assert "/users/alice/" in mesh.databox.requests[-1].target
    assert (await mesh.call("GET", "/demo/files/private/g/f", headers=grant))[0] == 403
    assert (await mesh.call("GET", "/demo/files/data/g/f", headers={"X-Mlmesh-Grant": "forged"}))[0] == 401


async def test_a_call_that_becomes_a_run_goes_to_the_scheduler(mesh: Mesh) -> None:
    headers = {**ALICE, "Prefer": "respond-async, wait=5", "Idempotency-Key": "k"}
    await mesh.call("POST", "/demo/digits/predict", data=b'{"inputs": []}', headers=headers)
    [request] = [
        candidate
        for candidate in mesh.scheduler.requests
        if candidate.target == "/internal/apps/demo/apis/digits/calls"
    ]
    assert request.body == b'{"inputs": []}'
    assert (request.headers["x-mlmesh-user"], request.headers["prefer"]) == ("alice", "respond-async, wait=5")
    assert (request.headers["idempotency-key"], mesh.component.requests) == ("k", [])


async def test_a_job_calls_for_its_caller_and_nothing_else(mesh: Mesh) -> None:
    seal, later = GrantSigner(INTERNAL), time.time() + 60

    async def status(path: str, grant: Grant) -> int:
        headers = {"X-Mlmesh-Grant": seal.sign(grant), "Prefer": "respond-async"}
        return (await mesh.call("POST", path, data=b"{}", headers=headers))[0]

    assert await status("/demo/digits/predict", Grant("demo", "bob", (), later, "digits")) == 200
    assert mesh.component.requests[-1].headers["x-mlmesh-grant"]
    for grant in (
        Grant("demo", "bob", (), later, "train"),
        Grant("demo", "bob", ("data",), later),
        Grant("other", "bob", (), later, "digits"),
        Grant("demo", "bob", (), 1.0, "digits"),
    ):
        assert await status("/demo/digits/predict", grant) == 401
    assert len(mesh.component.requests) == 1


async def test_an_anonymous_call_carries_no_grant(mesh: Mesh) -> None:
    await mesh.call("POST", "/demo/open/predict")
    assert "x-mlmesh-grant" not in mesh.component.requests[0].headers


async def test_descriptions_name_the_public_address(mesh: Mesh) -> None:
    _, _, component = await mesh.call("GET", "/demo/digits/openapi.json", headers=ALICE)
    _, _, pipeline = await mesh.call("GET", "/demo/train/openapi.json", headers=ALICE)
    assert component["servers"] == [{"url": "http://mesh.example/demo/digits"}]
    assert component["security"] == [{"basic": []}, {"token": []}]
    schema = pipeline["paths"]["/runs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["inputs"]["required"] == ["data"]
    assert schema["properties"]["inputs"]["properties"]["data"]["type"] == "string"
    assert (await mesh.call("GET", "/demo/train/docs", headers=ALICE))[0] == 200


@pytest.mark.parametrize(
    ("token", "status"),
    [(INTERNAL, 200), ("root", 200), ("all", 200), ("reader", 403), ("owner", 403), ("unknown", 401), (None, 401)],
)
async def test_numbers_of_all_apps_are_for_who_may_read_all_apps(mesh: Mesh, token: str | None, status: int) -> None:
    assert (await mesh.call("GET", "/metrics", headers=bearer_auth(token) if token else {}))[0] == status


async def test_callers_are_served_without_the_control_plane_and_after_a_restart(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with run_services(tmp_path) as mesh, mesh.gateway():
            await wait_until_ready(mesh)
        table_file = tmp_path / "gateway" / "table.json"
        assert table_file.stat().st_mode & 0o777 == 0o600
        offline = await stack.enter_async_context(run_services(tmp_path / "other"))
        settings = mesh.settings.with_values(public_url="http://mesh.example")
        offline.settings = settings  # its services are gone; its components are as the table on disk says
        async with offline.gateway():
            status, _, report = await offline.call("GET", "/readyz")
            assert (status, report["ready"], report["parts"]["scheduler"]["ready"]) == (200, True, False)
            status, headers, _ = await offline.call("GET", "/demo/runs", headers=ALICE)
            assert (status, headers["Retry-After"]) == (503, "1")
            assert (await offline.call("POST", "/demo/digits/predict"))[0] == 401
            assert (await offline.call("GET", "/demo/digits/openapi.json", headers=ALICE))[2]["info"][
                "title"
            ] == "asleep"


async def test_a_gateway_without_any_table_is_not_ready(tmp_path: Path) -> None:
    async with run_services(tmp_path) as mesh:
        mesh.scheduler.never_responds = True
        async with mesh.gateway():
            status, _, report = await mesh.call("GET", "/healthz")
            assert status == 200
            status, _, report = await mesh.call("GET", "/readyz")
            assert (status, report["parts"]["table"]["ready"]) == (503, False)
