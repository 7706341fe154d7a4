"""Fake scheduler, databox and registry for a worker: one HTTP server with its data in dicts."""

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

from libs.common.protocol.build import BuildSpec
from libs.common.protocol.image import ImageSpec
from libs.common.settings import Settings
from tests.worker.specs import lease_document, make_instance_spec, make_stage_spec

DEADLINE_S = 120.0
TOKEN = 7
"""Of each lease."""


def make_tar(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            archive.addfile(info, io.BytesIO(content.encode()))
    return out.getvalue()


@dataclass
class FakeMesh:
    tree: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    waiting_leases: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    stops: list[dict[str, Any]] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    held_tasks: list[str] = field(default_factory=list)
    """Tasks in the last heartbeat."""
    logs: dict[str, bytes] = field(default_factory=dict)
    ended_logs: set[str] = field(default_factory=set)
    inventories: list[dict[str, Any]] = field(default_factory=list)
    removable_keys: set[str] = field(default_factory=set)
    """Keys of built images that an engine may remove."""
    cached_keys: set[str] = field(default_factory=set)
    """Cache keys of stages whose outputs can be reused."""
    reuse_queries: list[str] = field(default_factory=list)
    secret_values: dict[str, dict[str, str]] = field(default_factory=dict)
    downloads: list[str] = field(default_factory=list)
    predictions: list[tuple[str, str, Any]] = field(default_factory=list)
    """API, grant and body of each call of a component."""
    prediction_response: tuple[int, dict[str, Any]] = (200, {})
    drain: bool = False
    link_gate: asyncio.Event | None = None
    """Downloads wait for this event."""
    url: str = ""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def wait_until(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(DEADLINE_S), self.changed:
            await self.changed.wait_for(condition)
        return condition()

    async def wait_for_status(self, **values: Any) -> dict[str, Any]:
        """Wait for the first status in a heartbeat that has these values."""

        def find_status() -> dict[str, Any] | None:
            return next((status for status in self.statuses if values.items() <= status.items()), None)

        return dict(await self.wait_until(find_status))

    async def wait_for_report(self) -> dict[str, Any]:
        await self.wait_until(lambda: self.reports)
        return self.reports[-1]

    def location_key(self, location: dict[str, Any]) -> str:
        return "/".join(location[part] for part in ("area", "box", "group", "file") if location.get(part))

    async def handle_claim(self, request: web.Request) -> web.Response:
        self.claims.append(await request.json())
        await self.notify()
        lease = self.waiting_leases.pop(0) if self.waiting_leases else None
        return web.json_response({"lease": lease, "reason": None})

    async def handle_heartbeat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.statuses.extend(body["have"])
        self.held_tasks = [entry["task"] for entry in body["have"]]
        await self.notify()
        if not self.stops:
            async with self.changed:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait_for(lambda: self.stops), min(body["wait"], 0.5))
        held = {(entry["task"], entry["token"]) for entry in body["have"]}
        stops = [entry for entry in self.stops if (entry["task"], entry["token"]) in held]
        return web.json_response({"lease_seconds": 15.0, "drain": self.drain, "stop": stops, "gone": []})

    async def handle_report(self, request: web.Request) -> web.Response:
        self.reports.append({"task": request.match_info["task"], **await request.json()})
        await self.notify()
        return web.json_response({"accepted": True})

    async def handle_inventory(self, request: web.Request) -> web.Response:
        self.inventories.append(await request.json())
        await self.notify()
        found = [image["image"] for image in self.inventories[-1]["images"] if image["key"] in self.removable_keys]
        return web.json_response({"images": found})

    async def handle_reuse(self, request: web.Request) -> web.Response:
        self.reuse_queries.append((await request.json())["content"])
        return web.json_response({"reused": self.reuse_queries[-1] in self.cached_keys})

    async def handle_sources(self, request: web.Request) -> web.Response:
        sources = []
        for location in (await request.json())["locations"]:
            key = self.location_key(location)
            names = [name for name in self.files if name == key or name.startswith(f"{key}/")]
            sources.append([self._source_entry(name, key) for name in sorted(names)])
        return web.json_response({"sources": sources})

    def _source_entry(self, name: str, key: str) -> dict[str, Any]:
        short = name.rsplit("/", 1)[-1] if name == key else name.removeprefix(f"{key}/")
        url, modified = f"{self.url}/links/{name}", "2026-01-01T00:00:00.000Z"
        return {"name": short, "size": len(self.files[name]), "etag": "e1", "modified": modified, "url": url}

    async def handle_targets(self, request: web.Request) -> web.Response:
        keys = [self.location_key(file["location"]) for file in (await request.json())["files"]]
        return web.json_response({"targets": [{"url": f"{self.url}/links/{key}"} for key in keys]})

    async def handle_download(self, request: web.Request) -> web.Response:
        self.downloads.append(request.match_info["key"])
        if self.link_gate is not None:
            await self.link_gate.wait()
        return web.Response(body=self.files[request.match_info["key"]])

    async def handle_upload(self, request: web.Request) -> web.Response:
        self.files[request.match_info["key"]] = await request.read()
        return web.Response(status=201)

    async def handle_log(self, request: web.Request) -> web.Response:
        name, offset = request.match_info["name"], int(request.query["offset"])
        content = self.logs.get(name, b"")
        if offset > len(content):
            return web.json_response({"expected": len(content)}, status=409)
        self.logs[name] = content[:offset] + await request.read()
        if request.query.get("end"):
            self.ended_logs.add(name)
        await self.notify()
        return web.Response(status=204)

    async def handle_predict(self, request: web.Request) -> web.Response:
        grant = request.headers["X-Mlmesh-Grant"]
        self.predictions.append((request.match_info["api"], grant, await request.json()))
        status, document = self.prediction_response
        return web.json_response(document, status=status)

    async def handle_source(self, _request: web.Request) -> web.Response:
        return web.Response(body=make_tar(self.tree))

    async def handle_secrets(self, request: web.Request) -> web.Response:
        names = (await request.json())["names"]
        values = {name: self.secret_values.get(name, {"WORD": f"of-{name}"}) for name in names}
        return web.json_response({"secrets": values})

    def routes(self) -> list[web.RouteDef]:
        app = "/internal/apps/{ns}"
        return [
            web.post("/internal/claims", self.handle_claim),
            web.post("/internal/workers/{worker}/sync", self.handle_heartbeat),
            web.post("/internal/tasks/{task}/report", self.handle_report),
            web.post("/internal/tasks/{task}/reuse", self.handle_reuse),
            web.post("/internal/images", self.handle_inventory),
            web.post(f"{app}/sources", self.handle_sources),
            web.post(f"{app}/targets", self.handle_targets),
            web.post(f"{app}/logs/{{name}}", self.handle_log),
            web.get(f"{app}/source/{{commit}}", self.handle_source),
            web.post(f"{app}/secrets/values", self.handle_secrets),
            web.get("/links/{key:.+}", self.handle_download),
            web.put("/links/{key:.+}", self.handle_upload),
            web.post("/{ns}/{api:.+}/predict", self.handle_predict),
        ]

    def make_settings(self, folder: Path) -> Settings:
        return Settings.from_values(
            data=folder,
            internal_token="t",
            worker_name="w1",
            worker_slots=2,
            registry_url=self.url,
            scheduler_url=self.url,
            databox_url=self.url,
        )

    def add_stage(self, task: str, script: str, **over: Any) -> None:
        """Add a ready stage that runs `script`."""
        fields = {"entry_point": ["python", "-c", script], "log": f"log-{task}", **over}
        self.waiting_leases.append(lease_document(make_stage_spec(**fields), task=task, token=TOKEN))

    def add_image(self, task: str, image: str, **over: Any) -> None:
        self.waiting_leases.append(lease_document(ImageSpec(image=image, **over), task=task, token=TOKEN))

    def add_build(self, task: str, app: str = "a", **over: Any) -> None:
        """Add a build of the source tree, with the log `log-<task>`."""
        fields = {"key": f"key-{task}", "title": "digits", "commit": "2e" * 20, "base": "none", "log": f"log-{task}"}
        self.waiting_leases.append(lease_document(BuildSpec(**{**fields, **over}), app=app, task=task, token=TOKEN))

    def add_instance(self, task: str, **over: Any) -> None:
        spec = make_instance_spec(**{"log": f"log-{task}", **over})
        self.waiting_leases.append(lease_document(spec, task=task, token=TOKEN))


@asynccontextmanager
async def serve_fake_mesh() -> AsyncIterator[FakeMesh]:
    mesh = FakeMesh()
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
