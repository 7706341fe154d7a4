"""What a forge shows at each commit, from the first push to a token that it refuses."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from libs.common.db import Database
from services.registry.commit_statuses.status_route import NO_FORGE
from services.registry.db.tables import commit_statuses
from tests.registry.conftest import Registry, StartRegistry, poll_until
from tests.registry.fake_forge import FakeForge, run_forge
from tests.registry.working_copy import MODULE, WorkingCopy

TOKEN = "the-token"
SYNC = "/api/v1/apps/leafscan/sync"


@pytest.fixture
async def forge(working_copy: WorkingCopy) -> AsyncIterator[FakeForge]:
    async with run_forge(working_copy.folder) as running:
        yield running


async def connect(registry: Registry, forge: FakeForge, /, **spec: Any) -> None:
    """An app of the forge's repository, whose first deployment waits until the token is set."""
    fields = {"url": forge.repository, "forge": "gitea", "credentials": "forge-token", **spec}
    lines = "".join(f"\n  {name}: {value}" for name, value in fields.items())
    applied = await registry.call(
        "POST",
        "/api/v1/apply",
        "apiVersion: mlmesh/v1\nkind: PlatformApp\nmetadata: {name: leafscan}\nspec: {title: Leaf scan}\n---\n"
        "apiVersion: mlmesh/v1\nkind: Secret\nmetadata: {name: forge-token}\nspec: {keys: []}\n---\n"
        f"apiVersion: mlmesh/v1\nkind: Repository\nmetadata: {{name: leafscan}}\nspec:{lines}\n",
    )
    assert applied.status == 200, applied.body


async def set_token(registry: Registry, token: str = TOKEN) -> None:
    path = "/api/v1/apps/leafscan/secrets/forge-token"
    assert (await registry.call("PUT", path, {"data": {"token": token}})).status == 204


async def start(registry: Registry, forge: FakeForge, /, **spec: Any) -> None:
    """Until the forge was told that the first deployment starts."""
    await connect(registry, forge, **spec)
    await set_token(registry)
    await forge.wait_for(2)


async def read_problem(registry: Registry) -> Any:
    return (await registry.get("/api/v1/apps/leafscan"))["repository"]["status_error"]


async def test_a_commit_is_pending_then_live_and_its_successor_fails_with_the_place(
    each_registry: Registry, working_copy: WorkingCopy, forge: FakeForge
) -> None:
    await start(each_registry, forge)
    starting = {"name": "start", "status": "running", "ready": 1, "total": 2}
    await each_registry.report((await each_registry.get_newest())["id"], status="starting", steps=[starting])
    await forge.wait_for(3)
    deployment = await each_registry.make_live()
    last = await forge.wait_for_state("success")
    first = working_copy.git("rev-parse", "HEAD")
    assert forge.list_states()[:3] == [
        ("pending", "checking"), ("pending", "starting"), ("pending", "starting: 1 of 2")
    ]  # fmt: skip
    assert forge.received[0].path == f"/api/v1/repos/ann/leaf/statuses/{first}"
    assert forge.received[0].headers["Authorization"] == "token the-token"
    assert last.body == {
        "state": "success",
        "description": last.body["description"],
        "context": "mlmesh/leafscan",
        "target_url": f"http://127.0.0.1:8000/api/v1/apps/leafscan/deployments/{deployment['id']}",
    }
    assert last.body["description"].startswith("live in ")

    second = working_copy.commit({"manifests/api.yml": MODULE["manifests/api.yml"].replace("path: digits", "paht: x")})
    await each_registry.call("POST", SYNC)
    last = await forge.wait_for_state("failure")
    assert last.path.endswith(second)
    assert last.body["description"] == 'manifests/api.yml:6:16: unknown field "paht"; did you mean "path"?'
    assert await read_problem(each_registry) is None


async def test_a_forge_that_is_busy_is_asked_later_and_gets_the_newest_status_only(
    registry: Registry, forge: FakeForge
) -> None:
    forge.answers = [(429, {"Retry-After": "1"}, {}), (503, {}, {})]
    await connect(registry, forge)
    await set_token(registry)
    first, second, third = (await forge.wait_for(3))[:3]
    assert first.body["description"] == "checking"
    assert second.at - first.at >= 0.99
    assert third.at - second.at >= 1.99
    assert third.body["description"] == "starting"
    await poll_until(lambda: read_problem(registry), lambda it: it is None)


async def test_a_token_that_is_refused_is_not_used_again_until_it_is_replaced(
    registry: Registry, forge: FakeForge
) -> None:
    forge.answers = [(401, {}, {})]
    await connect(registry, forge)
    await set_token(registry)
    problem = await poll_until(lambda: read_problem(registry), lambda it: it is not None)
    assert problem == "Gitea answered 401 to a commit status: the token is not valid; set a new one"
    await registry.make_live()
    await poll_until(lambda: count_unsent(registry), lambda it: it == 0)
    assert len(forge.received) == 1

    await set_token(registry, "another-token")
    await registry.call("POST", SYNC)
    assert (await forge.wait_for(2))[1].headers["Authorization"] == "token another-token"
    await poll_until(lambda: read_problem(registry), lambda it: it is None)


async def test_what_gitlab_shows_already_counts_as_sent(registry: Registry, forge: FakeForge) -> None:
    said = {"message": "Cannot transition status via :run from :running (Reason(s): Status cannot transition)"}
    forge.answers = [(201, {}, {}), (400, {}, said)]
    await start(registry, forge, forge="gitlab")
    await registry.make_live()
    last = await forge.wait_for_state("success")
    commit = (await registry.get_newest())["commit"]
    assert last.path == f"/api/v4/projects/ann%2Fleaf/statuses/{commit}"
    assert last.headers["PRIVATE-TOKEN"] == TOKEN
    assert [state for state, _ in forge.list_states()] == ["pending", "running", "success"]
    assert await read_problem(registry) is None


async def test_gitlab_shows_the_errors_of_a_commit_once(
    registry: Registry, working_copy: WorkingCopy, forge: FakeForge
) -> None:
    mistakes = MODULE["manifests/api.yml"].replace("path: digits", "paht: '@all `x`'")
    working_copy.commit({"manifests/api.yml": mistakes, "manifests/component.yaml": "kind: MLComponent\n"})
    await connect(registry, forge, forge="gitlab")
    await set_token(registry)
    failed = await registry.wait_for_status("failed")
    count = len(failed["errors"])
    await forge.wait_for_comments(count)
    path = f"/api/v4/projects/ann%2Fleaf/repository/commits/{failed['commit']}/comments"
    assert [(comment.path, comment.body["line_type"]) for comment in forge.comments] == [(path, "new")] * count
    places = [(error["file"], error["line"]) for error in failed["errors"]]
    assert [(comment.body["path"], comment.body["line"]) for comment in forge.comments] == places
    first = failed["errors"][0]
    quoted = f"{first['file']}:{first['line']}:{first['column']}: {first['message']}".replace("`", "'")
    assert forge.comments[0].body["note"] == f"mlmesh/leafscan: `` {quoted} ``"

    await registry.call("POST", SYNC)
    again = await registry.wait_for_status("failed")
    await poll_until(lambda: count_unsent(registry), lambda it: it == 0)
    assert (again["id"] == failed["id"], len(forge.comments)) == (False, count)


async def test_nothing_is_lost_when_the_registry_stops_while_the_forge_is_away(
    start_registry: StartRegistry, sqlite_url: str, working_copy: WorkingCopy
) -> None:
    async with run_forge(working_copy.folder) as forge, start_registry(sqlite_url) as registry:
        forge.answers = [(503, {}, {})] * 100
        await connect(registry, forge)
        await set_token(registry)
        await registry.make_live()
        await forge.wait_for(1)
    async with run_forge(working_copy.folder, forge.port) as forge, start_registry(sqlite_url) as registry:
        last = await forge.wait_for_state("success")
        assert last.path.endswith((await registry.get_newest())["commit"])
        assert len(forge.received) == 1


async def test_no_status_goes_where_the_operator_lets_no_repository_be(
    start_registry: StartRegistry, sqlite_url: str, forge: FakeForge
) -> None:
    async with start_registry(sqlite_url) as registry:
        forge.answers = [(503, {}, {})]
        await connect(registry, forge)
        await set_token(registry)
        await forge.wait_for(1)
    async with start_registry(sqlite_url, repository_networks="10.0.0.0/8") as registry:
        refusal = "is in a network that the operator does not allow (MLMESH_REPOSITORY_NETWORKS)"
        problem = await poll_until(lambda: read_problem(registry), lambda it: it is not None and "503" not in it)
        assert problem == f"cannot contact 127.0.0.1: it {refusal}"
    assert len(forge.received) == 1


async def count_unsent(registry: Registry) -> int:
    database = Database(registry.settings.database_url)
    async with database.read() as conn:
        rows = (await conn.execute(select(commit_statuses.c.version, commit_statuses.c.sent_version))).all()
    await database.close()
    return sum(version > sent for version, sent in rows)


@pytest.mark.parametrize(("spec", "is_told"), [({"status": "{credentials: forge-token}"}, True), ({}, False)])
async def test_without_a_known_forge_who_asked_for_statuses_is_told(
    registry: Registry, forge: FakeForge, spec: dict[str, str], is_told: bool
) -> None:
    await connect(registry, forge, forge="", **spec)
    await set_token(registry)
    await registry.make_live()
    await poll_until(lambda: count_unsent(registry), lambda it: it == 0)
    problem = await read_problem(registry)
    assert problem == (NO_FORGE if is_told else None)
    assert forge.received == []


@pytest.mark.parametrize("status", ["off", '"off"', "false", "{enabled: false}"])
async def test_statuses_can_be_turned_off(registry: Registry, forge: FakeForge, status: str) -> None:
    await connect(registry, forge, status=status)
    await set_token(registry)
    await registry.make_live()
    assert await count_unsent(registry) == 0
    assert forge.received == []


async def test_the_first_verified_delivery_says_which_forge_it_is(
    registry: Registry, working_copy: WorkingCopy, forge: FakeForge
) -> None:
    await connect(registry, forge, forge="", webhook="{secret: forge-token}")
    await registry.call(
        "PUT", "/api/v1/apps/leafscan/secrets/forge-token", {"data": {"token": TOKEN, "secret": "hook"}}
    )
    await registry.make_live()
    assert forge.received == []
    commit = working_copy.commit({"digits/more.py": ""})
    body = json.dumps({"ref": "refs/heads/main", "after": commit})
    signature = hmac.new(b"hook", body.encode(), "sha256").hexdigest()
    headers = {"X-Forgejo-Event": "push", "X-Forgejo-Signature": signature}
    assert (await registry.call("POST", "/hooks/leafscan", body, headers)).status == 202
    await registry.make_live()
    last = await forge.wait_for_state("success")
    assert last.path == f"/api/v1/repos/ann/leaf/statuses/{commit}"
