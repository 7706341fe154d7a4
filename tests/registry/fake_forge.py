"""A forge on loopback: serves a repository over Git's smart HTTP, and records the statuses of its commits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from tests.registry.conftest import DEADLINE_S

Answer = tuple[int, Mapping[str, str], Any]


@dataclass(frozen=True)
class ReceivedStatus:
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    at: float


@dataclass
class FakeForge:
    """`answers` are given first, one a request; then 201. Statuses of `silent_apps` are never answered."""

    folder: Path
    port: int = 0
    answers: list[Answer] = field(default_factory=list)
    received: list[ReceivedStatus] = field(default_factory=list)
    comments: list[ReceivedStatus] = field(default_factory=list)
    silent_apps: set[str] = field(default_factory=set)
    unanswered: list[web.Request] = field(default_factory=list)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def repository(self) -> str:
        return f"http://127.0.0.1:{self.port}/ann/leaf.git"

    def list_states(self) -> list[tuple[str, str]]:
        return [(status.body["state"], status.body["description"]) for status in self.received]

    async def wait_for(self, count: int) -> list[ReceivedStatus]:
        async with asyncio.timeout(DEADLINE_S), self.arrived:
            await self.arrived.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def wait_for_comments(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S), self.arrived:
            await self.arrived.wait_for(lambda: len(self.comments) >= count)

    async def wait_for_state(self, state: str) -> ReceivedStatus:
        """The last status, as soon as it has this state."""
        async with asyncio.timeout(DEADLINE_S), self.arrived:
            await self.arrived.wait_for(lambda: bool(self.received) and self.received[-1].body["state"] == state)
        return self.received[-1]

    def count_open_requests(self) -> int:
        """Of those that are not answered, how many the sender still waits for."""
        transports = [request.transport for request in self.unanswered]
        return sum(transport is not None and not transport.is_closing() for transport in transports)

    async def wait_for_app(self, app: str) -> ReceivedStatus:
        """The first status of this app."""
        async with asyncio.timeout(DEADLINE_S), self.arrived:
            await self.arrived.wait_for(lambda: self._find(app) is not None)
        return cast(ReceivedStatus, self._find(app))

    def _find(self, app: str) -> ReceivedStatus | None:
        return next((status for status in self.received if status.body["context"] == f"mlmesh/{app}"), None)

    async def handle_status(self, request: web.Request) -> web.Response:
        now = asyncio.get_running_loop().time()
        body = json.loads(await request.read())
        async with self.arrived:
            received = self.comments if request.path.endswith("/comments") else self.received
            received.append(ReceivedStatus(request.raw_path, request.headers, body, now))
            self.arrived.notify_all()
        if str(body.get("context")).removeprefix("mlmesh/") in self.silent_apps:
            self.unanswered.append(request)
            await self.stopped.wait()
        status, headers, answer = self.answers.pop(0) if self.answers else (201, {}, {})
        return web.json_response(answer, status=status, headers=headers)

    async def list_refs(self, request: web.Request) -> web.Response:
        refs = await self._run_git(request, b"", "--advertise-refs")
        start = b"001e# service=git-upload-pack\n0000"
        if request.headers.get("Git-Protocol"):
            start = b""
        return web.Response(body=start + refs, content_type="application/x-git-upload-pack-advertisement")

    async def upload_pack(self, request: web.Request) -> web.Response:
        pack = await self._run_git(request, await request.read())
        return web.Response(body=pack, content_type="application/x-git-upload-pack-result")

    async def _run_git(self, request: web.Request, body: bytes, *options: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            "git", "upload-pack", "--stateless-rpc", *options, str(self.folder),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={"GIT_PROTOCOL": request.headers.get("Git-Protocol", ""), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        return (await process.communicate(body))[0]


@asynccontextmanager
async def run_forge(folder: Path, port: int = 0) -> AsyncIterator[FakeForge]:
    """Serves the repository in `folder`; port 0: any that is free."""
    forge = FakeForge(folder)
    app = web.Application()
    app.router.add_get("/ann/leaf.git/info/refs", forge.list_refs)
    app.router.add_post("/ann/leaf.git/git-upload-pack", forge.upload_pack)
    app.router.add_post("/{path:.*}", forge.handle_status)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    forge.port = runner.addresses[0][1]
    yield forge
    forge.stopped.set()
    await runner.cleanup()
