"""The scheduler as a real service on a real database, with fakes of registry and databox."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from libs.common.bus.memory import MemoryBus
from libs.common.errors import MeshError, Unavailable
from libs.common.identity import HEADER_PIPELINES, HEADER_SCOPES, HEADER_USER
from libs.common.messages import RevisionReady
from libs.common.settings import Settings

if TYPE_CHECKING:
    from aiohttp import web

    from libs.common.http.client import ServiceClient

DEADLINE_S = 60.0
LEASE_S = 60.0
"""Longer than any test: what a test does not end stays as it is, also on a slow machine."""
SHORT_LEASE_S = 2.0
"""For tests of what happens when a lease ends."""
ALICE = {HEADER_USER: "alice", HEADER_PIPELINES: "train"}
OWNER = {HEADER_USER: "developer", HEADER_PIPELINES: "*", HEADER_SCOPES: "admin"}
STORED_FILE = {"size": 1, "etag": "e1", "modified": "2026-01-01T00:00:00.000Z"}


@dataclass
class FakeServices:
    """Fake registry and databox over real HTTP; the test sets their state."""

    deployments: list[dict[str, Any]] = field(default_factory=list)
    access: dict[str, Any] = field(default_factory=dict)
    version: int = 0
    files: set[str] = field(default_factory=set)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    publications: list[tuple[str, Any]] = field(default_factory=list)
    stored: list[tuple[str, bytes]] = field(default_factory=list)
    removals: list[tuple[str, Any]] = field(default_factory=list)
    has_quota: bool = True
    publication_error: tuple[int, dict[str, Any]] | None = None
    """Status and body of the response to publications."""
    publication_attempts: int = 0
    """Number of publication requests."""
    held_groups: set[str] = field(default_factory=set)
    """Groups whose publication blocks while they are in this set."""
    is_away: bool = False
    has_space: bool = True

    async def handle(self, request: web.Request) -> web.Response:
        from aiohttp import web

        if self.is_away:
            return web.json_response({"detail": "away"}, status=503)
        path = request.path
        if path == "/internal/deployments":
            return web.json_response({"items": self.deployments})
        if path == "/internal/access":
            new = self.access if int(request.query["since"]) < self.version else {}
            return web.json_response({"version": self.version, "apps": new})
        if path.endswith("/report"):
            self.reports[path.split("/")[3]] = await request.json()
            self.deployments = [item for item in self.deployments if item["id"] != path.split("/")[3]]
            return web.Response(status=204)
        if path.endswith("/sources"):
            query = await request.json()
            locations = query["locations"]
            sources = [
                [STORED_FILE | {"name": location.get("file")}] if self._has_file(location) else []
                for location in locations
            ]
            refusals = [
                None if self.has_space else f"box {location['box']} is full" for location in query.get("targets", ())
            ]
            return web.json_response({"sources": sources, "refusals": refusals})
        if path.endswith("/targets"):
            locations = [item["location"] for item in (await request.json())["files"]]
            urls = [f"http://{request.host}/links/{location['area']}/{location['file']}" for location in locations]
            return web.json_response({"targets": [{"url": url} for url in urls]})
        if path.startswith("/links/"):
            self.stored.append((path.removeprefix("/links/"), await request.read()))
            return web.Response(status=201)
        if request.method == "DELETE" or path.endswith("/removals"):
            self.removals.append((path, await request.json() if request.can_read_body else None))
            return web.Response(status=204)
        if "/publications/" in path:
            moves = (await request.json())["moves"]
            self.publication_attempts += 1
            if self.publication_error is not None:
                return web.json_response(self.publication_error[1], status=self.publication_error[0])
            while self.held_groups & {move["target"]["group"] for move in moves}:  # noqa: ASYNC110  a test lets it go
                await asyncio.sleep(0.01)
            self.publications.append((path.rpartition("/")[2], moves))
            answer = {"files": {}} if self.has_quota else {"detail": "box data is full", "used": 9}
            return web.json_response(answer, status=200 if self.has_quota else 413)
        return web.json_response({}, status=200)

    def _has_file(self, location: dict[str, Any]) -> bool:
        return f"{location.get('group')}/{location.get('file')}" in self.files


class Mesh:
    """The running scheduler, with the requests of workers and callers."""

    def __init__(self, peer: ServiceClient, services: FakeServices, bus: MemoryBus) -> None:
        self.peer = peer
        self.services = services
        self.bus = bus

    async def deploy(
        self, deployment: str, catalog: dict[str, Any] | None = None, app: str = "leaf", **fields: str
    ) -> None:
        from services.scheduler.control_loops import EVENT_QUEUE
        from tests.scheduler.manifests import catalog_json

        item = {"id": deployment, "app": app, "commit": f"commit-{deployment}", "catalog": catalog or catalog_json()}
        self.services.deployments.append({**item, **fields})
        await self.bus.declare(EVENT_QUEUE)
        await self.bus.publish(RevisionReady(app=app, deployment=deployment))

    async def until_live(self, identity: str) -> None:
        await self.until(lambda: self.is_reported(identity, "live"))

    async def is_reported(self, deployment: str, status: str) -> bool:
        return self.services.reports.get(deployment, {}).get("status") == status

    async def until(self, check: Callable[[], Awaitable[Any]]) -> Any:
        """Ask until the result is true; a service that is away for a moment is asked again, as its clients do."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with suppress(Unavailable):
                    if result := await check():
                        return result
                await asyncio.sleep(0.02)

    async def claim(
        self,
        worker: str = "w1",
        kind: str | None = None,
        free: int = 2,
        kinds: Sequence[str] | None = None,
        engine: str | None = None,
    ) -> dict[str, Any]:
        """Wait for the next lease (of this kind); without `free` slots no stage's. `kinds`: those that it takes."""

        async def lease() -> Any:
            claimed = await self.claim_once(worker, free, kinds, engine)
            return claimed if claimed and kind in (None, claimed["kind"]) else None

        claimed: dict[str, Any] = await self.until(lease)
        return claimed

    async def claim_once(
        self, worker: str = "w1", free: int = 2, kinds: Sequence[str] | None = None, engine: str | None = None
    ) -> Any:
        """The next lease; None when there is none now."""
        body: dict[str, Any] = {"worker": worker, "classes": ["cpu"], "task": None, "free": free}
        body |= {} if kinds is None else {"kinds": kinds}
        body |= {} if engine is None else {"engine": engine}
        return (await self.peer.post("/internal/claims", body))["lease"]

    async def send_heartbeat(
        self,
        *have: dict[str, Any],
        worker: str = "w1",
        wait: float = 0.0,
        kinds: Sequence[str] | None = None,
        engine: str | None = None,
        memory_low: bool = False,
    ) -> Any:
        body = {"host": "here", "classes": ["cpu"], "slots": 2, "free": 2, "wait": wait, "have": list(have)}
        body |= {} if kinds is None else {"kinds": kinds}
        body |= {} if engine is None else {"engine": engine}
        body |= {"memory_low": True} if memory_low else {}
        return await self.peer.post(f"/internal/workers/{worker}/sync", body)

    async def report(self, lease: dict[str, Any], outcome: str, worker: str = "w1", **fields: Any) -> Any:
        body = {"worker": worker, "token": lease["token"], "outcome": outcome, **fields}
        return await self.peer.post(f"/internal/tasks/{lease['task']}/report", body)

    async def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] = ALICE, **params: Any
    ) -> tuple[int, Any, dict[str, str]]:
        return await self.send(method, path, None if body is None else orjson.dumps(body), headers, **params)

    async def send(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str], **params: Any
    ) -> tuple[int, Any, dict[str, str]]:
        try:
            async with self.peer.stream(
                method, path, data=None if data is None else io.BytesIO(data), headers=headers, params=params
            ) as answer:
                content = await answer.read()
                return answer.status, orjson.loads(content) if content else None, dict(answer.headers)
        except MeshError as error:
            return error.status, {"detail": error.detail, **error.extensions}, {}

    async def submit(self, body: Any, **headers: str) -> tuple[int, Any, dict[str, str]]:
        return await self.call("POST", "/internal/apps/leaf/apis/train/runs", body, {**ALICE, **headers})

    async def get_run(self, identity: str) -> Any:
        return (await self.call("GET", f"/internal/apps/leaf/runs/{identity}"))[1]

    async def has_status(self, identity: str, *statuses: str) -> bool:
        return (await self.get_run(identity))["status"] in statuses

    async def get_app_routes(self) -> Any:
        return (await self.peer.get("/internal/table", since=-1))["apps"]["leaf"]


def healthy_status(lease: dict[str, Any], **fields: Any) -> dict[str, Any]:
    endpoint = {"host": "127.0.0.1", "port": 4000 + lease["token"]}
    return {"task": lease["task"], "token": lease["token"], "state": "healthy", "endpoint": endpoint, **fields}


@asynccontextmanager
async def run_fake_services() -> AsyncIterator[tuple[str, FakeServices]]:
    from aiohttp import web

    from libs.common.http.server import bind, socket_url

    services = FakeServices()
    app = web.Application(client_max_size=20_000_000)
    app.router.add_route("*", "/{path:.*}", services.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    bound = bind("127.0.0.1", 0)
    await web.SockSite(runner, bound).start()
    try:
        yield socket_url(bound), services
    finally:
        await runner.cleanup()


@pytest.fixture
async def mesh(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Mesh]:
    """The mark `settings` adds settings."""
    from libs.common.db import Database
    from libs.common.http.client import open_service_clients
    from libs.common.http.server import bind, run_server, socket_url
    from services.scheduler.app import create
    from services.scheduler.db import metadata

    database = Database(database_url)
    await database.create_all(metadata)
    await database.close()
    bus = MemoryBus()
    async with run_fake_services() as (url, services):
        settings = Settings.from_values(
            database=database_url, internal_token="t", registry_url=url, databox_url=url, lease=LEASE_S, data=tmp_path
        )
        if mark := request.node.get_closest_marker("settings"):
            settings = settings.with_values(**mark.kwargs)
        bound = bind("127.0.0.1", 0)
        async with (
            run_server(create(settings, bus), bound),
            open_service_clients(settings.with_values(scheduler_url=socket_url(bound))) as peers,
        ):
            yield Mesh(peers.scheduler, services, bus)
