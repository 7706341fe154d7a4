"""The service as a whole: two replicas, a database that is away, what the logs do not show."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import pytest

from libs.common.settings import BadSetting, Settings
from services.registry.app import create
from tests.registry.conftest import Registry, Start, until
from tests.registry.flaky_proxy import Line
from tests.registry.routes.test_hooks import Forge, attached
from tests.registry.working_copy import PROTECTED_API, Work


async def test_two_replicas_share_the_work_and_end_at_the_newest_head(
    start: Start, postgres_url: str, work: Work
) -> None:
    async with start(postgres_url, "one") as one, start(postgres_url, "two") as two:
        forge = await attached(one, work)
        other = Forge(two, forge.secret)
        commits = [work.commit({}, f"number {number}") for number in range(6)]
        await asyncio.gather(*(each.push(commit) for commit in commits for each in (forge, other)))
        newest = await until(
            lambda: one.get("/internal/deployments?status=starting"),
            lambda it: [found["commit"] for found in it["items"]] == [commits[-1]],
        )
        await two.report(newest["items"][0]["id"], status="live")
        listed = await until(
            lambda: two.get("/api/v1/apps/leafscan/deployments"),
            lambda it: {found["status"] for found in it["items"]} == {"live", "superseded"},
        )
        assert [found["commit"] for found in listed["items"] if found["status"] == "live"] == [commits[-1]]


@pytest.fixture
async def line(postgres_url: str) -> AsyncIterator[Line]:
    """To the database server of `postgres_url`."""
    far = urlsplit(postgres_url)
    line = Line(far.hostname or "127.0.0.1", far.port or 5432)
    await line.mend()
    yield line
    await line.cut()


async def test_without_its_database_it_answers_503_and_goes_on_when_it_is_back(
    start: Start, postgres_url: str, line: Line, work: Work
) -> None:
    far = urlsplit(postgres_url)
    near = far._replace(netloc=f"{far.netloc.rpartition('@')[0]}@127.0.0.1:{line.port}")
    async with start(urlunsplit(near)) as registry:
        await registry.apply(work, pollInterval="1s")
        await registry.live()
        await line.cut()
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
        await line.mend()
        second = work.commit({})
        found = await until(registry.newest, lambda it: it["commit"] == second and it["status"] == "starting")
        assert found["trigger"] == "poll"


async def test_neither_logs_nor_records_show_a_secret(
    registry: Registry, work: Work, capfd: pytest.CaptureFixture[str]
) -> None:
    work.commit({"manifests/api.yml": PROTECTED_API})
    answer = await registry.apply(work)
    await registry.call("PUT", "/api/v1/apps/leafscan/secrets/api-users", {"data": {"alice": "open-sesame"}})
    key = (await registry.call("POST", "/api/v1/apps/leafscan/keys", {"user": "bob"})).body["key"]
    token = (await registry.call("POST", "/api/v1/tokens", {"name": "ci", "scopes": ["read"]})).body["token"]
    await registry.call("POST", "/internal/apps/leafscan/secrets/values", {"names": ["api-users"]})
    await registry.call("POST", "/internal/tokens/verify", {"token": token})
    await registry.live()
    shown = [str(await registry.get(path)) for path in ("/api/v1/apps/leafscan", "/api/v1/apps/leafscan/deployments")]
    shown += [
        *capfd.readouterr(),
        str(await registry.get("/internal/deployments")),
        str(await registry.get("/internal/access")),
    ]
    for text in ("open-sesame", key, token, answer.body["webhook"]["secret"]):
        assert not any(text in one for one in shown)


def test_it_refuses_to_start_without_its_keys() -> None:
    with pytest.raises(BadSetting, match="MLMESH_SECRET_KEY is not set"):
        create(Settings.of(internal_token="x"))
    with pytest.raises(BadSetting, match="MLMESH_INTERNAL_TOKEN is not set"):
        create(Settings.of(secret_key="x"))
