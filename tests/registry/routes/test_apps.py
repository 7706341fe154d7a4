"""Apps as operators and developers see them."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from libs.common import identity
from tests.registry.conftest import ADMIN_HEADERS, FakePeers, Registry, StartRegistry, poll_until
from tests.registry.working_copy import PROTECTED_API, WorkingCopy


async def test_an_app_is_made_shown_listed_and_deleted(each_registry: Registry) -> None:
    created = await each_registry.call("POST", "/api/v1/apps", {"name": "leafscan", "title": "Leaf scan"})
    assert created.status == 201, created.body
    assert created.headers["Location"] == "/api/v1/apps/leafscan"
    assert (created.body["name"], created.body["title"], created.body["live"]) == ("leafscan", "Leaf scan", None)
    assert (await each_registry.call("POST", "/api/v1/apps", {"name": "leafscan"})).status == 409
    listed = await each_registry.get("/api/v1/apps")
    assert [item["name"] for item in listed["items"]] == ["leafscan"]
    assert listed["next"] is None
    assert (await each_registry.call("DELETE", "/api/v1/apps/leafscan")).status == 204
    assert (await each_registry.call("GET", "/api/v1/apps/leafscan")).status == 404
    assert (await each_registry.call("DELETE", "/api/v1/apps/leafscan")).status == 404


@pytest.mark.parametrize("odd", ["\ud800", "a\0b"])
async def test_a_text_that_cannot_be_kept_is_refused(each_registry: Registry, odd: str) -> None:
    assert (await each_registry.call("POST", "/api/v1/apps", {"name": "leafscan"})).status == 201
    for path, body in (
        ("/api/v1/apps", {"name": "b", "title": odd}),
        ("/api/v1/apps", {"name": "b", "description": odd}),
        ("/api/v1/apps/leafscan/rollback", {"deployment": odd}),
        ("/api/v1/apps/leafscan/rollback", {"commit": odd}),
    ):
        assert (await each_registry.call("POST", path, body)).status == 422, body


async def test_names_that_are_reserved_or_no_dns_label_are_refused(registry: Registry) -> None:
    for name in ("api", "metrics", "Leaf", "a_b", "-a", "a" * 64, "", ".."):
        assert (await registry.call("POST", "/api/v1/apps", {"name": name})).status == 422, name
    assert (await registry.call("POST", "/api/v1/apps", {"name": "a" * 63})).status == 201


async def test_an_app_is_shown_with_what_the_neighbours_know(
    registry: Registry, peers: FakePeers, working_copy: WorkingCopy
) -> None:
    await registry.apply(working_copy)
    live = await registry.make_live()
    components = [{"name": "digits", "status": "ready", "reason": None, "error": None}]
    boxes = [{"name": "data", "capacity": 10, "used": 1, "reserved": 0, "detached": False}]
    peers.responses["GET /internal/apps/leafscan"] = (200, {"components": components, "apis": []})
    peers.responses["GET /internal/apps/leafscan/boxes"] = (200, {"items": boxes})
    app = await registry.get("/api/v1/apps/leafscan")
    assert (app["components"], app["boxes"], app["unavailable"]) == (components, boxes, [])
    assert app["live"]["id"] == live["id"]
    root = "http://127.0.0.1:8000/leafscan/digits"
    assert app["apis"] == [{"name": "digits-api", "target": "ml", "url": f"{root}/predict", "docs": f"{root}/docs"}]
    assert app["repository"]["url"] == working_copy.url


async def test_a_missing_neighbour_is_named_and_no_error_of_the_whole(registry: Registry, peers: FakePeers) -> None:
    await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    peers.responses["GET /internal/apps/leafscan"] = (503, {"detail": "the database does not answer"})
    peers.responses["GET /internal/apps/leafscan/boxes"] = (200, {"items": []})
    app = await registry.get("/api/v1/apps/leafscan")
    assert app["unavailable"] == [{"service": "scheduler", "detail": "the database does not answer"}]
    assert app["components"] == []


async def test_a_caller_sees_the_apps_that_the_token_names(registry: Registry) -> None:
    for name in ("one", "two"):
        await registry.call("POST", "/api/v1/apps", {"name": name})
    headers = {identity.HEADER_SCOPES: "write:two"}
    assert [item["name"] for item in (await registry.call("GET", "/api/v1/apps", headers=headers)).body["items"]] == [
        "two"
    ]
    assert (await registry.call("GET", "/api/v1/apps/two", headers=headers)).status == 200
    assert (await registry.call("GET", "/api/v1/apps/one", headers=headers)).status == 403
    assert (await registry.call("DELETE", "/api/v1/apps/two", headers={identity.HEADER_SCOPES: "read"})).status == 403
    assert (await registry.call("POST", "/api/v1/apps", {"name": "three"}, headers)).status == 403


async def test_without_the_internal_token_nothing_is_answered_but_health(registry: Registry) -> None:
    stranger = {**ADMIN_HEADERS, "Authorization": "Bearer guessed"}
    assert (await registry.call("GET", "/api/v1/apps", headers=stranger)).status == 401
    assert (await registry.call("GET", "/healthz", headers=stranger)).status == 200
    assert (await registry.call("GET", "/readyz", headers=stranger)).status == 200


async def test_deleting_is_told_to_the_scheduler_until_it_has_heard(
    start_registry: StartRegistry, sqlite_url: str, peers: FakePeers, working_copy: WorkingCopy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("services.registry.app_removal.WAIT_S", 0.5)
    peers.responses["DELETE /internal/apps/leafscan"] = (503, {"detail": "away"})
    async with start_registry(sqlite_url) as registry:
        await registry.apply(working_copy)
        await registry.make_live()
        cache = registry.settings.data / "registry/git/leafscan.git"
        assert cache.exists()
        await registry.call("DELETE", "/api/v1/apps/leafscan")
        assert (await registry.get("/internal/access"))["apps"] == {"leafscan": None}
        refused = await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
        assert (refused.status, refused.headers["Retry-After"]) == (409, "10")
        assert refused.body["detail"] == (
            'the former app "leafscan" is still being removed: its runs and instances end and its copy of the '
            "repository is deleted (away); this goes on by itself, try again in 10 s"
        )
        assert (await registry.apply(working_copy)).status == 409
    peers.responses["DELETE /internal/apps/leafscan"] = (204, None)
    async with start_registry(sqlite_url) as registry:

        async def create_again() -> int:
            return (await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})).status

        await poll_until(create_again, lambda status: status == 201)
        assert not cache.exists()
        assert (await registry.get("/internal/access"))["apps"]["leafscan"] == {"users": {}, "keys": {}, "secrets": {}}


async def test_a_new_app_waits_for_the_end_of_the_former_one(registry: Registry) -> None:
    registry.peers.responses["DELETE /internal/apps/leafscan"] = (503, {"detail": "away"})
    await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    await registry.call("DELETE", "/api/v1/apps/leafscan")
    creating = asyncio.ensure_future(registry.call("POST", "/api/v1/apps", {"name": "leafscan"}))

    async def count_tries() -> int:
        return registry.peers.requests.count("DELETE /internal/apps/leafscan")

    await poll_until(count_tries, lambda tries: tries > 1)
    registry.peers.responses["DELETE /internal/apps/leafscan"] = (204, None)
    created = await creating
    assert created.status == 201, created.body


async def test_an_app_whose_removal_fails_holds_up_no_other(registry: Registry) -> None:
    registry.peers.responses["DELETE /internal/apps/one"] = (503, {"detail": "away"})
    for name in ("one", "two"):
        await registry.call("POST", "/api/v1/apps", {"name": name})
        await registry.call("DELETE", f"/api/v1/apps/{name}")
    assert (await registry.call("POST", "/api/v1/apps", {"name": "two"})).status == 201


async def test_the_end_of_a_removal_is_a_line_of_the_log(registry: Registry) -> None:
    registry.peers.responses["DELETE /internal/apps/leafscan"] = (204, None)
    await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    with capture_logs() as lines:
        await registry.call("DELETE", "/api/v1/apps/leafscan")

        async def list_removals() -> list[Any]:
            return [line for line in lines if line["event"] == "App removed"]

        removals = await poll_until(list_removals, bool)
    assert removals == [{"event": "App removed", "log_level": "info", "logger_name": "registry", "app": "leafscan"}]


async def test_a_deleted_app_leaves_nothing_to_a_new_one_of_its_name(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    each_registry.peers.responses["DELETE /internal/apps/leafscan"] = (204, None)
    working_copy.commit({"manifests/api.yml": PROTECTED_API})
    await each_registry.apply(working_copy)
    await each_registry.call("PUT", "/api/v1/apps/leafscan/secrets/api-users", {"data": {"alice": "sesame"}})
    await each_registry.call("POST", "/api/v1/apps/leafscan/keys", {"user": "bob"})
    old = await each_registry.make_live()
    await each_registry.call("DELETE", "/api/v1/apps/leafscan")
    assert (await each_registry.report(old["id"], status="live")).status == 404

    async def create_again() -> int:
        return (await each_registry.call("POST", "/api/v1/apps", {"name": "leafscan"})).status

    await poll_until(create_again, lambda status: status == 201)
    for part in ("secrets", "keys", "deployments"):
        assert (await each_registry.get(f"/api/v1/apps/leafscan/{part}"))["items"] == []


async def test_deployments_are_paged_newest_first_and_a_forged_cursor_is_400(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    await registry.apply(working_copy)
    await registry.make_live()
    for _ in range(4):
        await registry.call("POST", "/api/v1/apps/leafscan/sync")
        await registry.make_live()
    seen: list[str] = []
    path = "/api/v1/apps/leafscan/deployments?limit=2"
    while path:
        answer = await registry.call("GET", path)
        seen += [item["id"] for item in answer.body["items"]]
        cursor = answer.body["next"]
        assert ("Link" in answer.headers) == (cursor is not None)
        path = f"/api/v1/apps/leafscan/deployments?limit=2&cursor={cursor}" if cursor else ""
    all_items = (await registry.get("/api/v1/apps/leafscan/deployments"))["items"]
    assert seen == [item["id"] for item in all_items]
    assert len(seen) == 5
    for forged in ("x", "", "ZDF4", "ZC0x", "é", "ZDk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OQ"):
        assert (await registry.call("GET", f"/api/v1/apps/leafscan/deployments?cursor={forged}")).status == 400, forged
    for limit in (0, 1001, "x"):
        assert (await registry.call("GET", f"/api/v1/apps/leafscan/deployments?limit={limit}")).status == 422
    assert (await registry.call("GET", "/api/v1/apps/nobody/deployments")).status == 404
    assert (await registry.call("GET", "/api/v1/apps/leafscan/deployments/unknown")).status == 404


async def test_sync_needs_an_app_with_a_repository(registry: Registry) -> None:
    assert (await registry.call("POST", "/api/v1/apps/nobody/sync")).status == 404
    await registry.call("POST", "/api/v1/apps", {"name": "leafscan"})
    assert (await registry.call("POST", "/api/v1/apps/leafscan/sync")).status == 409
    assert (
        await registry.call("POST", "/api/v1/apps/leafscan/sync", headers={identity.HEADER_SCOPES: "read"})
    ).status == 403


NOBODY = 'there is no app "nobody"'


@pytest.mark.parametrize(
    ("method", "path", "body", "detail"),
    [
        ("GET", "nobody", None, NOBODY),
        ("DELETE", "nobody", None, NOBODY),
        ("GET", "nobody/deployments", None, NOBODY),
        ("POST", "nobody/sync", None, NOBODY),
        ("POST", "nobody/rollback", None, NOBODY),
        ("GET", "nobody/secrets", None, NOBODY),
        ("PUT", "nobody/secrets/s", {"data": {"a": "b"}}, NOBODY),
        ("DELETE", "nobody/secrets/s/a", None, NOBODY),
        ("GET", "nobody/keys", None, NOBODY),
        ("POST", "nobody/keys", {"user": "alice"}, NOBODY),
        ("GET", "leafscan/deployments/x", None, 'leafscan has no deployment "x"'),
        ("POST", "leafscan/rollback", {"deployment": "x"}, 'leafscan has no deployment "x"'),
        ("POST", "leafscan/rollback", {"commit": "0" * 40}, f"leafscan has no deployment of commit {'0' * 40}"),
        ("DELETE", "leafscan/secrets/s", None, 'leafscan has no secret "s"'),
    ],
)  # fmt: skip
async def test_what_is_not_there_is_named(
    registry: Registry, working_copy: WorkingCopy, method: str, path: str, body: Any, detail: str
) -> None:
    await registry.apply(working_copy)
    answer = await registry.call(method, f"/api/v1/apps/{path}", body)
    assert (answer.status, answer.body["detail"]) == (404, detail)
