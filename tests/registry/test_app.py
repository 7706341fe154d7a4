"""The whole service: two replicas, an unavailable database, no secrets in logs."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import pytest

from libs.common.settings import BadSetting, Settings
from services.registry.app import create
from tests.registry.conftest import Registry, StartRegistry, poll_until
from tests.registry.flaky_proxy import FlakyProxy
from tests.registry.routes.test_hooks import Forge, attach_app
from tests.registry.working_copy import PROTECTED_API, WorkingCopy


async def test_two_replicas_share_the_work_and_end_at_the_newest_head(
    start_registry: StartRegistry, postgres_url: str, working_copy: WorkingCopy
) -> None:
    async with start_registry(postgres_url, "one") as first, start_registry(postgres_url, "two") as second:
        forge = await attach_app(first, working_copy)
        other = Forge(second, forge.secret)
        commits = [working_copy.commit({}, f"number {number}") for number in range(6)]
        await asyncio.gather(*(each.push(commit) for commit in commits for each in (forge, other)))
        newest = await poll_until(
            lambda: first.get("/internal/deployments?status=starting"),
            lambda it: [deployment["commit"] for deployment in it["items"]] == [commits[-1]],
        )
        await second.report(newest["items"][0]["id"], status="live")
        listed = await poll_until(
            lambda: second.get("/api/v1/apps/leafscan/deployments"),
            lambda it: {deployment["status"] for deployment in it["items"]} == {"live", "superseded"},
        )
        assert [deployment["commit"] for deployment in listed["items"] if deployment["status"] == "live"] == [
            commits[-1]
        ]


@pytest.fixture
async def database_proxy(postgres_url: str) -> AsyncIterator[FlakyProxy]:
    """A proxy to the database server of `postgres_url`."""
    far = urlsplit(postgres_url)
    line = FlakyProxy(far.hostname or "127.0.0.1", far.port or 5432)
    await line.connect()
    yield line
    await line.disconnect()


async def test_without_its_database_it_answers_503_and_goes_on_when_it_is_back(
    start_registry: StartRegistry, postgres_url: str, database_proxy: FlakyProxy, working_copy: WorkingCopy
) -> None:
    far = urlsplit(postgres_url)
    near = far._replace(netloc=f"{far.netloc.rpartition('@')[0]}@127.0.0.1:{database_proxy.port}")
    async with start_registry(urlunsplit(near)) as registry:
        await registry.apply(working_copy, pollInterval="1s")
        await registry.make_live()
        await database_proxy.disconnect()
        for method, path in [
            ("GET", "/api/v1/apps"),
            ("POST", "/api/v1/apps/leafscan/sync"),
            ("POST", "/hooks/leafscan"),
        ]:
            answer = await registry.call(method, path)
            assert (answer.status, answer.headers.get("Retry-After")) == (503, "2"), (path, answer.body)
        assert (await registry.call("GET", "/healthz")).status == 200
        ready = await registry.call("GET", "/readyz")
        assert (ready.status, ready.body["parts"]["database"]["ready"]) == (503, False)
        await database_proxy.connect()
        second = working_copy.commit({})
        deployment = await poll_until(
            registry.get_newest, lambda it: it["commit"] == second and it["status"] == "starting"
        )
        assert deployment["trigger"] == "poll"


async def test_neither_logs_nor_records_show_a_secret(
    registry: Registry, working_copy: WorkingCopy, capfd: pytest.CaptureFixture[str]
) -> None:
    working_copy.commit({"manifests/api.yml": PROTECTED_API})
    answer = await registry.apply(working_copy)
    await registry.call("PUT", "/api/v1/apps/leafscan/secrets/api-users", {"data": {"alice": "open-sesame"}})
    key = (await registry.call("POST", "/api/v1/apps/leafscan/keys", {"user": "bob"})).body["key"]
    token = (await registry.call("POST", "/api/v1/tokens", {"name": "ci", "scopes": ["read"]})).body["token"]
    await registry.call("POST", "/internal/apps/leafscan/secrets/values", {"names": ["api-users"]})
    await registry.call("POST", "/internal/tokens/verify", {"token": token})
    await registry.make_live()
    texts = [str(await registry.get(path)) for path in ("/api/v1/apps/leafscan", "/api/v1/apps/leafscan/deployments")]
    texts += [
        *capfd.readouterr(),
        str(await registry.get("/internal/deployments")),
        str(await registry.get("/internal/access")),
    ]
    for text in ("open-sesame", key, token, answer.body["webhook"]["secret"]):
        assert not any(text in output for output in texts)


def test_it_refuses_to_start_without_its_keys() -> None:
    with pytest.raises(BadSetting, match="MLMESH_SECRET_KEY is not set"):
        create(Settings.from_values(internal_token="x"))
    with pytest.raises(BadSetting, match="MLMESH_INTERNAL_TOKEN is not set"):
        create(Settings.from_values(secret_key="x"))
