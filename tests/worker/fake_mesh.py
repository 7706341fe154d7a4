"""The worker's peers as one small HTTP server: a scheduler, a databox and a registry that keep everything in dicts."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from libs.common.settings import Settings

DEADLINE_S = 30.0


def packed(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            archive.addfile(info, io.BytesIO(content.encode()))
    return out.getvalue()


@dataclass
class SmallMesh:
    tree: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    stops: list[dict[str, Any]] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    """Tasks in the last heartbeat."""
    logs: dict[str, bytes] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    """What stages are made of whose outputs are kept."""
    asked: list[str] = field(default_factory=list)
    secret_values: dict[str, dict[str, str]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    drain: bool = False
    slow: asyncio.Event | None = None
    """Links are not answered before."""
    url: str = ""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def note(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(DEADLINE_S), self.changed:
            await self.changed.wait_for(condition)
        return condition()

    async def shown(self, **values: Any) -> dict[str, Any]:
        """The first holding in a heartbeat that has these values."""

        def found() -> dict[str, Any] | None:
            return next((one for one in self.seen if values.items() <= one.items()), None)

        return dict(await self.until(found))

    async def report(self) -> dict[str, Any]:
        await self.until(lambda: self.reports)
        return self.reports[-1]

    def key(self, location: dict[str, Any]) -> str:
        return "/".join(location[part] for part in ("area", "box", "group", "file") if location.get(part))

    async def claim(self, _request: web.Request) -> web.Response:
        lease = self.waiting.pop(0) if self.waiting else None
        return web.json_response({"lease": lease, "reason": None})

    async def sync(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.seen.extend(body["have"])
        self.held = [one["task"] for one in body["have"]]
        await self.note()
        if not self.stops:
            async with self.changed:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait_for(lambda: self.stops), min(body["wait"], 0.5))
        held = {(one["task"], one["token"]) for one in body["have"]}
        stops = [one for one in self.stops if (one["task"], one["token"]) in held]
        return web.json_response({"lease_seconds": 15.0, "drain": self.drain, "stop": stops, "gone": []})

    async def accept(self, request: web.Request) -> web.Response:
        self.reports.append({"task": request.match_info["task"], **await request.json()})
        await self.note()
        return web.json_response({"accepted": True})

    async def reuse(self, request: web.Request) -> web.Response:
        self.asked.append((await request.json())["content"])
        return web.json_response({"reused": self.asked[-1] in self.made})

    async def sources(self, request: web.Request) -> web.Response:
        found = []
        for location in (await request.json())["locations"]:
            key = self.key(location)
            names = [name for name in self.files if name == key or name.startswith(f"{key}/")]
            found.append([self._entry(name, key) for name in sorted(names)])
        return web.json_response({"sources": found})

    def _entry(self, name: str, key: str) -> dict[str, Any]:
        short = name.rsplit("/", 1)[-1] if name == key else name.removeprefix(f"{key}/")
        return {"name": short, "size": len(self.files[name]), "etag": "e1", "url": f"{self.url}/links/{name}"}

    async def targets(self, request: web.Request) -> web.Response:
        keys = [self.key(one["location"]) for one in (await request.json())["files"]]
        return web.json_response({"targets": [{"url": f"{self.url}/links/{key}"} for key in keys]})

    async def get(self, request: web.Request) -> web.Response:
        self.fetched.append(request.match_info["key"])
        if self.slow is not None:
            await self.slow.wait()
        return web.Response(body=self.files[request.match_info["key"]])

    async def put(self, request: web.Request) -> web.Response:
        self.files[request.match_info["key"]] = await request.read()
        return web.Response(status=201)

    async def log(self, request: web.Request) -> web.Response:
        name, offset = request.match_info["name"], int(request.query["offset"])
        have = self.logs.get(name, b"")
        if offset > len(have):
            return web.json_response({"expected": len(have)}, status=409)
        self.logs[name] = have[:offset] + await request.read()
        if request.query.get("end"):
            self.ended.add(name)
        await self.note()
        return web.Response(status=204)

    async def source(self, _request: web.Request) -> web.Response:
        return web.Response(body=packed(self.tree))

    async def secrets(self, request: web.Request) -> web.Response:
        names = (await request.json())["names"]
        found = {name: self.secret_values.get(name, {"WORD": f"of-{name}"}) for name in names}
        return web.json_response({"secrets": found})

    def routes(self) -> list[web.RouteDef]:
        app = "/internal/apps/{ns}"
        return [
            web.post("/internal/claims", self.claim),
            web.post("/internal/workers/{worker}/sync", self.sync),
            web.post("/internal/tasks/{task}/report", self.accept),
            web.post("/internal/tasks/{task}/reuse", self.reuse),
            web.post(f"{app}/sources", self.sources),
            web.post(f"{app}/targets", self.targets),
            web.post(f"{app}/logs/{{name}}", self.log),
            web.get(f"{app}/source/{{commit}}", self.source),
            web.post(f"{app}/secrets/values", self.secrets),
            web.get("/links/{key:.+}", self.get),
            web.put("/links/{key:.+}", self.put),
        ]

    def settings(self, folder: Path) -> Settings:
        return Settings.of(
            data=folder,
            internal_token="t",
            worker_name="w1",
            worker_slots=2,
            registry_url=self.url,
            scheduler_url=self.url,
            databox_url=self.url,
        )

    def stage(self, task: str, script: str, **over: Any) -> None:
        """A stage waits that runs `script`."""
        spec = {
            "run": "r", "pipeline": "p", "stage": "s", "image": "i", "entry_point": ["python", "-c", script], "env": {},
            "secrets": [], "resources": {}, "timeout": 60.0, "inputs": [], "outputs": [], "log": f"log-{task}", **over,
        }  # fmt: skip
        self._wait(task, "stage", spec)

    def instance(self, task: str, **over: Any) -> None:
        spec = {
            "component": "c", "image": "i", "inference": "app:predict", "loader": None, "python": "python3",
            "port": 8002, "env": {}, "secrets": [], "boxes": [], "concurrency": 1, "timeout": 30.0, "warmup": [],
            "model": None, "start_timeout": 30.0, "resources": {}, "instance_token": "secret",
            "log": f"log-{task}", **over,
        }  # fmt: skip
        self._wait(task, "instance", spec)

    def _wait(self, task: str, kind: str, spec: dict[str, Any]) -> None:
        self.waiting.append(
            {"task": task, "kind": kind, "attempt": 1, "token": 7, "lease_seconds": 15.0, "app": "a", "commit": "c0",
             "spec": spec}
        )  # fmt: skip


@asynccontextmanager
async def small_mesh() -> AsyncIterator[SmallMesh]:
    mesh = SmallMesh()
    app = web.Application()
    app.add_routes(mesh.routes())
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    mesh.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield mesh
    finally:
        await runner.cleanup()
