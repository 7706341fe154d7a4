"""From a change of one app's routes at the scheduler to the first call that takes the new way, among 1,000 apps."""

from __future__ import annotations

import asyncio
import http.client
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from aiohttp import web

from benchmarks.figures import Figure, Finding, median_ms
from benchmarks.gateway import BODY, HEADERS, MANY_APPS, free_port, gateway, table

LIMIT_MS = 50.0
CHANGES = 20
PAUSE_S = 0.1


class Scheduler:
    """The table's side of a scheduler, and two instances that say which one they are."""

    def __init__(self) -> None:
        self.port, self.instances = free_port(), (free_port(), free_port())
        self.version = 1
        self.news = asyncio.Event()
        self.app: dict[str, Any] = {}
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()

    async def table(self, request: web.Request) -> web.Response:
        since, wait = int(request.query["since"]), float(request.query["wait"])
        if since == self.version:
            try:
                await asyncio.wait_for(self.news.wait(), wait)
            except TimeoutError:
                return web.Response(status=304)
        return web.json_response({"version": self.version, "full": False, "apps": {"app0": self.app}})

    def switch(self, to: int) -> None:
        """The app's only component is instance `to` from now on."""
        self._loop.call_soon_threadsafe(self._switch, table(self.instances[to], 1)["apps"]["app0"])

    def _switch(self, app: dict[str, Any]) -> None:
        self.app, self.version = app, self.version + 1
        self.news.set()
        self.news = asyncio.Event()

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)

    async def _serve(self) -> None:
        servers = [await listening(self.port, [web.get("/internal/table", self.table)])]
        for number, port in enumerate(self.instances):
            servers.append(await listening(port, [web.post("/predict", saying(number))]))
        await self._stopped.wait()
        for server in servers:
            await server.cleanup()


def saying(number: int) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(number)

    return answer


async def listening(port: int, routes: list[web.RouteDef]) -> web.AppRunner:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


def figures() -> Iterator[Finding]:
    with tempfile.TemporaryDirectory() as folder, scheduling() as scheduler:
        document = table(scheduler.instances[0], MANY_APPS)
        address = f"http://127.0.0.1:{scheduler.port}"
        with gateway(document, Path(folder, "gateway"), MLMESH_SCHEDULER_URL=address) as (port, _):
            seconds = [applied(scheduler, port, number % 2) for number in range(CHANGES)]
    note = f"the slowest {max(seconds) * 1000:.1f} ms, median of {CHANGES}"
    yield Figure("change: of one route, until applied", median_ms(seconds), LIMIT_MS, "ms", note)


@contextmanager
def scheduling() -> Iterator[Scheduler]:
    scheduler = Scheduler()
    thread = Thread(target=scheduler.run, daemon=True)
    thread.start()
    try:
        yield scheduler
    finally:
        scheduler.stop()
        thread.join()


def applied(scheduler: Scheduler, port: int, to: int) -> float:
    """Seconds."""
    time.sleep(PAUSE_S)
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10.0)) as caller:
        began = time.perf_counter()
        scheduler.switch(to)
        while True:
            caller.request("POST", "/app0/total/predict", BODY, HEADERS)
            answer = caller.getresponse()
            if json.loads(answer.read()) == to:
                return time.perf_counter() - began
