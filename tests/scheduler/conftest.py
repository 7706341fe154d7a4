"""The scheduler as a real service on a real database, beside a registry and a databox that only answer."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from libs.common.bus.memory import MemoryBus
from libs.common.db import Database
from libs.common.errors import MeshError
from libs.common.http.client import ServiceClient, open_service_clients
from libs.common.http.server import bind, run_server, socket_url
from libs.common.identity import HEADER_PIPELINES, HEADER_SCOPES, HEADER_USER
from libs.common.messages import RevisionReady
from libs.common.settings import Settings
from services.scheduler.app import create
from services.scheduler.control_loops import EVENT_QUEUE
from services.scheduler.db import metadata
from tests.scheduler.manifests import catalog_json

DEADLINE_S = 20.0
LEASE_S = 2.0
ALICE = {HEADER_USER: "alice", HEADER_PIPELINES: "train"}
OWNER = {HEADER_USER: "developer", HEADER_PIPELINES: "*", HEADER_SCOPES: "admin"}


@dataclass
class Neighbours:
    """Stands for registry and databox: real HTTP, state as the test sets it."""

    deployments: list[dict[str, Any]] = field(default_factory=list)
    access: dict[str, Any] = field(default_factory=dict)
    version: int = 0
    files: set[str] = field(default_factory=set)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    publications: list[tuple[str, Any]] = field(default_factory=list)
    stored: list[tuple[str, bytes]] = field(default_factory=list)
    removed: list[tuple[str, Any]] = field(default_factory=list)
    quota_left: bool = True
    refusal: tuple[int, dict[str, Any]] | None = None
    """How publications are answered."""
    tried: int = 0
    """Publications, whatever became of them."""
    held: set[str] = field(default_factory=set)
    """Groups whose publication takes as long as they are here."""
    away: bool = False
    room_left: bool = True

    async def handle(self, request: web.Request) -> web.Response:
        if self.away:
            return web.json_response({"detail": "away"}, status=503)
        path = request.path
        if path == "/internal/deployments":
            return web.json_response({"items": self.deployments})
        if path == "/internal/access":
            new = self.access if int(request.query["since"]) < self.version else {}
            return web.json_response({"version": self.version, "apps": new})
        if path.endswith("/report"):
            self.reports[path.split("/")[3]] = await request.json()
            self.deployments = [one for one in self.deployments if one["id"] != path.split("/")[3]]
            return web.Response(status=204)
        if path.endswith("/sources"):
            asked = await request.json()
            places = asked["locations"]
            found = [[{"name": place.get("file"), "size": 1}] if self._has(place) else [] for place in places]
            refusals = [None if self.room_left else f"box {place['box']} is full" for place in asked.get("targets", ())]
            return web.json_response({"sources": found, "refusals": refusals})
        if path.endswith("/targets"):
            places = [one["location"] for one in (await request.json())["files"]]
            urls = [f"http://{request.host}/links/{place['area']}/{place['file']}" for place in places]
            return web.json_response({"targets": [{"url": url} for url in urls]})
        if path.startswith("/links/"):
            self.stored.append((path.removeprefix("/links/"), await request.read()))
            return web.Response(status=201)
        if request.method == "DELETE" or path.endswith("/removals"):
            self.removed.append((path, await request.json() if request.can_read_body else None))
            return web.Response(status=204)
        if "/publications/" in path:
            moves = (await request.json())["moves"]
            self.tried += 1
            if self.refusal is not None:
                return web.json_response(self.refusal[1], status=self.refusal[0])
            while self.held & {move["target"]["group"] for move in moves}:  # noqa: ASYNC110  a test lets it go
                await asyncio.sleep(0.01)
            self.publications.append((path.rpartition("/")[2], moves))
            answer = {"files": {}} if self.quota_left else {"detail": "box data is full", "used": 9}
            return web.json_response(answer, status=200 if self.quota_left else 413)
        return web.json_response({}, status=200)

    def _has(self, place: dict[str, Any]) -> bool:
        return f"{place.get('group')}/{place.get('file')}" in self.files


class Mesh:
    """The running scheduler, and a worker's and a caller's side of it."""

    def __init__(self, peer: ServiceClient, neighbours: Neighbours, bus: MemoryBus) -> None:
        self.peer = peer
        self.neighbours = neighbours
        self.bus = bus

    async def deploy(self, identity: str, catalog: dict[str, Any] | None = None, app: str = "leaf") -> None:
        item = {"id": identity, "app": app, "commit": f"commit-{identity}", "catalog": catalog or catalog_json()}
        self.neighbours.deployments.append(item)
        await self.bus.declare(EVENT_QUEUE)
        await self.bus.publish(RevisionReady(app=app, deployment=identity))

    async def live(self, identity: str) -> None:
        await self.until(lambda: self.reported(identity, "live"))

    async def reported(self, identity: str, status: str) -> bool:
        return self.neighbours.reports.get(identity, {}).get("status") == status

    async def until(self, check: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(DEADLINE_S):
            while not (found := await check()):  # noqa: ASYNC110  what is awaited is in another service
                await asyncio.sleep(0.02)
            return found

    async def claim(self, worker: str = "w1", kind: str | None = None, free: int = 2) -> dict[str, Any]:
        """The next lease (of this kind), waited for; without `free` slots an instance's."""

        async def lease() -> Any:
            body = {"worker": worker, "classes": ["cpu"], "task": None, "free": free}
            found = (await self.peer.post("/internal/claims", body))["lease"]
            return found if found and kind in (None, found["kind"]) else None

        found: dict[str, Any] = await self.until(lease)
        return found

    async def sync(self, *have: dict[str, Any], worker: str = "w1", wait: float = 0.0) -> Any:
        body = {"host": "here", "classes": ["cpu"], "slots": 2, "free": 2, "wait": wait, "have": list(have)}
        return await self.peer.post(f"/internal/workers/{worker}/sync", body)

    async def report(self, lease: dict[str, Any], outcome: str, worker: str = "w1", **more: Any) -> Any:
        body = {"worker": worker, "token": lease["token"], "outcome": outcome, **more}
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

    async def run(self, identity: str) -> Any:
        return (await self.call("GET", f"/internal/apps/leaf/runs/{identity}"))[1]

    async def status(self, identity: str, *wanted: str) -> bool:
        return (await self.run(identity))["status"] in wanted

    async def table(self) -> Any:
        return (await self.peer.get("/internal/table", since=-1))["apps"]["leaf"]


def healthy(lease: dict[str, Any], **more: Any) -> dict[str, Any]:
    endpoint = {"host": "127.0.0.1", "port": 4000 + lease["token"]}
    return {"task": lease["task"], "token": lease["token"], "state": "healthy", "endpoint": endpoint, **more}


@asynccontextmanager
async def neighbours_running() -> AsyncIterator[tuple[str, Neighbours]]:
    neighbours = Neighbours()
    app = web.Application(client_max_size=20_000_000)
    app.router.add_route("*", "/{path:.*}", neighbours.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    bound = bind("127.0.0.1", 0)
    await web.SockSite(runner, bound).start()
    try:
        yield socket_url(bound), neighbours
    finally:
        await runner.cleanup()


@pytest.fixture
async def mesh(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Mesh]:
    """The mark `settings` adds settings."""
    database = Database(database_url)
    await database.create_all(metadata)
    await database.close()
    bus = MemoryBus()
    async with neighbours_running() as (url, neighbours):
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
            yield Mesh(peers.scheduler, neighbours, bus)
