"""Callers who wait for runs: what two thousand of them cost a scheduler, and how soon each is told of a change."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import aiohttp

from benchmarks.figures import Figure, Finding, Unmeasured
from benchmarks.gateway import resident_mb
from benchmarks.idle import cpu_seconds
from benchmarks.mesh import deployment
from deploy.demo.api import Api
from tests.e2e.application import FILES, Application
from tests.e2e.processes import Processes
from tests.servers.fleet import Fleet
from tests.servers.provision import Missing

WAITERS = 2000
RUNS = 80
CHANGES = 20
MEASURED_S = 10.0
PAUSE_S = 0.008
"""Between two that come."""
SETTLE_S = 3.0
WAIT_S = 60
MOST_MB = 200.0
MOST_PERCENT = 5.0
MOST_MS = 20.0


def figures() -> Iterator[Finding]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * WAITERS + 1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        with Fleet() as fleet, deployment(fleet) as mesh, closing(Api(mesh.url, mesh.token)) as api:
            app = Application(mesh, api)
            app.start({name: text for name, text in FILES.items() if name != "manifests/shout.yml"})
            places = [app.submit({"seconds": {"one": 300}}).headers["Location"] for _ in range(RUNS)]
            yield from asyncio.run(measured(mesh, app, places))
    except Missing as missing:
        yield Unmeasured("waiters", str(missing))


async def measured(mesh: Processes, app: Application, places: list[str]) -> list[Finding]:
    url, process = mesh.address("scheduler"), mesh.process_of("scheduler")
    headers = {"Authorization": f"Bearer {mesh.services['MLMESH_INTERNAL_TOKEN']}", "X-Mlmesh-User": "alice",
               "X-Mlmesh-Pipelines": "*"}  # fmt: skip
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=2 * WAIT_S)
    async with aiohttp.ClientSession(url, headers=headers, connector=connector, timeout=timeout) as session:
        waiting = []
        for number in range(WAITERS):
            waiting.append(asyncio.create_task(heard(session, places[number % RUNS])))
            await asyncio.sleep(PAUSE_S)
        await asyncio.sleep(SETTLE_S)
        before = cpu_seconds(process)
        await asyncio.sleep(MEASURED_S)
        percent = (cpu_seconds(process) - before) / MEASURED_S * 100
        memory = resident_mb(process)
        moments: list[float] = []
        for number in range(CHANGES + 1):
            began = time.time()
            async with session.post(f"/internal/apps{places[-1 - number]}/cancel"):
                heard_at = await asyncio.gather(*waiting[RUNS - 1 - number :: RUNS])
            if number:  # the first cancel of a process puts its statements together
                moments += [at - began for at in heard_at]
        moments.sort()
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    note = f"of {len(moments)}, {WAITERS // RUNS} wait for a run, from the request that changes it"
    return [
        Figure("waiters: memory of the scheduler", memory, MOST_MB, "MB", f"{WAITERS} wait for {RUNS} runs"),
        Figure("waiters: its processor", percent, MOST_PERCENT, "%", f"of a core, over {MEASURED_S:.0f} s"),
        Figure("waiters: p99 until told", moments[int(len(moments) * 0.99)] * 1000, MOST_MS, "ms", note),
    ]


async def heard(session: aiohttp.ClientSession, place: str) -> float:
    """When the run changed, for one who waits for it."""
    path = f"/internal/apps{place}"
    async with session.get(path) as answer:
        etag = answer.headers["ETag"]
    async with session.get(path, headers={"If-None-Match": etag, "Prefer": f"wait={WAIT_S}"}) as answer:
        at = time.time()
        found: Any = await answer.json()
    assert found["status"] == "canceling" or found["status"] == "canceled", found["status"]
    return at
