"""The registry as a real service on a real database, with fakes for scheduler and databox."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from libs.common import identity
from libs.common.bus import Consumer, Queue
from libs.common.bus.memory import MemoryBus
from libs.common.settings import Settings
from tests.registry.working_copy import MODULE, WorkingCopy

if TYPE_CHECKING:
    import aiohttp
    from aiohttp import web

DEADLINE_S = 60.0
TOKEN = "internal"
ADMIN_HEADERS = {identity.HEADER_SCOPES: "admin", identity.HEADER_TOKEN_NAME: "tests"}


@dataclass
class FakePeers:
    """A fake of scheduler and databox: real HTTP, with the responses that the test sets."""

    url: str = ""
    responses: dict[str, tuple[int, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        from aiohttp import web

        key = f"{request.method} {request.path}"
        self.requests.append(key)
        status, body = self.responses.get(key, (404, {"detail": "unknown"}))
        return web.Response(status=204) if body is None else web.json_response(body, status=status)


@dataclass
class ApiResponse:
    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass
class Registry:
    """The running service, called as the gateway calls it."""

    url: str
    session: aiohttp.ClientSession
    settings: Settings
    peers: FakePeers
    messages: Consumer

    async def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = ADMIN_HEADERS
    ) -> ApiResponse:
        sent = {"Authorization": f"Bearer {TOKEN}", **headers}
        content = body.encode() if isinstance(body, str) else body
        data = {"data": io.BytesIO(content)} if isinstance(content, bytes) else {} if body is None else {"json": body}
        async with self.session.request(method, self.url + path, headers=sent, **data) as response:
            text = await response.read()
            parsed = await response.json(content_type=None) if "json" in response.content_type and text else text
            return ApiResponse(response.status, parsed, response.headers)

    async def get(self, path: str) -> Any:
        answer = await self.call("GET", path)
        assert answer.status == 200, answer.body
        return answer.body

    async def apply(self, working_copy: WorkingCopy | str, app: str = "leafscan", **spec: Any) -> ApiResponse:
        url = working_copy if isinstance(working_copy, str) else working_copy.url
        extra = "".join(f"\n  {name}: {value}" for name, value in spec.items())
        return await self.call(
            "POST",
            "/api/v1/apply",
            f"apiVersion: mlmesh/v1\nkind: PlatformApp\nmetadata: {{name: {app}}}\nspec: {{title: Leaf scan}}\n---\n"
            f"apiVersion: mlmesh/v1\nkind: Repository\nmetadata: {{name: {app}}}\nspec:\n  url: {url}{extra}\n",
        )

    async def apply_hosted(self, app: str = "leafscan", **spec: Any) -> ApiResponse:
        """A Repository without a url: the built-in one."""
        fields = "".join(f"\n  {name}: {value}" for name, value in spec.items()) or " {}"
        return await self.call(
            "POST",
            "/api/v1/apply",
            f"apiVersion: mlmesh/v1\nkind: PlatformApp\nmetadata: {{name: {app}}}\nspec: {{title: Leaf scan}}\n---\n"
            f"apiVersion: mlmesh/v1\nkind: Repository\nmetadata: {{name: {app}}}\nspec:{fields}\n",
        )

    async def get_newest(self, app: str = "leafscan") -> Any:
        return (await self.get(f"/api/v1/apps/{app}/deployments?limit=1"))["items"][0]

    async def wait_for_status(self, *status: str, app: str = "leafscan", deployment: str | None = None) -> Any:
        """The deployment (default: the newest) as soon as its status is one of `status`."""
        path = f"/api/v1/apps/{app}/deployments/{deployment}"
        return await poll_until(
            lambda: self.get(path) if deployment else self.get_newest(app), lambda it: it["status"] in status
        )

    async def make_live(self, app: str = "leafscan") -> Any:
        """Report the newest deployment as live, as the scheduler does."""
        deployment = await self.wait_for_status("starting", app=app)
        answer = await self.report(deployment["id"], status="live")
        assert answer.status == 204
        return await self.get_newest(app)

    async def report(self, deployment: str, **report: Any) -> ApiResponse:
        return await self.call("POST", f"/internal/deployments/{deployment}/report", report)


async def poll_until(fetch: Callable[[], Any], is_expected: Callable[[Any], bool]) -> Any:
    """Fetch again until the result is as expected; fails with the last one."""
    result: Any = None
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not is_expected(result := await fetch()):  # noqa: ASYNC110  another process's truth has no event
                await asyncio.sleep(0.02)
    except TimeoutError as error:
        raise AssertionError(f"not in time; at last: {result}") from error
    return result


@pytest.fixture
def working_copy(tmp_path: Path) -> WorkingCopy:
    copy = WorkingCopy(tmp_path / "module")
    copy.commit(MODULE, "the first version")
    return copy


@pytest.fixture
async def peers() -> AsyncIterator[FakePeers]:
    from aiohttp import web

    fake = FakePeers()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


class StartRegistry(Protocol):
    def __call__(
        self, database: str, host: str = "host", **overrides: Any
    ) -> AbstractAsyncContextManager[Registry]: ...


@pytest.fixture
def start_registry(tmp_path: Path, peers: FakePeers) -> StartRegistry:
    """Starts the service on a database: again after it stopped, or as a second replica (`host`)."""
    import aiohttp

    from libs.common.http.server import bind, run_server, socket_url
    from services.registry.app import create

    @asynccontextmanager
    async def run_registry(database: str, host: str = "host", **overrides: Any) -> AsyncIterator[Registry]:
        settings = Settings.from_values(
            database=database,
            data=tmp_path / host,
            internal_token=TOKEN,
            admin_token="the-admin-token",
            scheduler_url=peers.url,
            databox_url=peers.url,
            **{"secret_key": "a secret key", **overrides},
        )
        await make_tables(database)
        bus = MemoryBus()
        async with AsyncExitStack() as stack:
            keys = ("revision.ready.v1", "access.changed.v1")
            messages = await stack.enter_async_context(bus.consume(Queue("tests", keys)))
            bound = bind("127.0.0.1", 0)
            await stack.enter_async_context(run_server(create(settings, bus), bound))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            yield Registry(socket_url(bound), session, settings, peers, messages)

    return run_registry


async def make_tables(url: str) -> None:
    from libs.common.db import Database
    from services.registry.db import metadata

    if url.startswith("sqlite"):
        Path(url.partition("///")[2]).parent.mkdir(exist_ok=True)
    database = Database(url)
    await database.create_all(metadata)
    await database.close()


@pytest.fixture
async def registry(start_registry: StartRegistry, sqlite_url: str) -> AsyncIterator[Registry]:
    """On SQLite, which is fast; tests that depend on the database use `each_registry`."""
    async with start_registry(sqlite_url) as service:
        yield service


@pytest.fixture
async def each_registry(start_registry: StartRegistry, database_url: str) -> AsyncIterator[Registry]:
    """On each kind of database."""
    async with start_registry(database_url) as service:
        yield service
