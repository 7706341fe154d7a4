"""An instance of a component on this host: model, start, health until it ends."""

from __future__ import annotations

import asyncio
from typing import Any

from libs.common import log
from services.worker.context import Host
from services.worker.failures import Failed
from services.worker.files.log_uploader import Log
from services.worker.held_tasks import Holding
from services.worker.outcome import Outcome
from services.worker.runtime import CannotRun, Exit, spec
from services.worker.work import openapi_client
from services.worker.work.monitoring import STOP_GRACE_S, following, missing
from services.worker.work.probe import Probe

EARLY_S = 0.025
LATER_S = 0.25
MESH = "mesh.url"
EARLY_POLLS = 80
HEALTH_S = 2.0
"""Between two health checks, and"""
STEADY_HEALTH_S = 5.0
"""of one that has been healthy for"""
STEADY_AFTER_S = 30.0
FAILURES = 3
"""Health checks in a row that fail before it is unhealthy."""
HUNG_S = 30.0
"""As long, and twice as long as a call may take, it may be unhealthy before it is started afresh."""
WITHOUT_PYTHON = (
    'the image has no "{}"; a component needs Python 3.9 or later in its image, or mlService.python to say where it is'
)


class Instance:
    def __init__(self, host: Host, holding: Holding) -> None:
        self.host, self.holding, self.lease = host, holding, holding.lease
        self.folder = host.folder(holding.lease)
        self.log = Log(self.lease, self.folder, host.runtime, host.peers)
        self._headers = {"X-Mlmesh-Token": self.lease.spec["instance_token"]}
        self._remark: str | None = None
        """What its owner should know although it serves."""

    async def run(self, *, adopted: bool) -> Outcome:
        """Never returns: an instance has no end of its own. Raises Failed."""
        if adopted:
            await self._check_gateway()
        else:
            await self._start()
        self._show_model()
        async with following(self.log, self.holding):
            ended = await self._serve()
        raise exited(ended, self.log.tail())

    async def _start(self) -> None:
        site = await self.host.site(self.lease)
        secrets = await self.host.secrets(self.lease)
        where = self.lease.spec.get("model")
        model = await self.host.models.get(self.lease.app, where) if where else None
        if model:
            (self.folder / "model.etag").write_text(model.etag)
        wanted = spec.of_instance(self.lease, site, model.path if model else None, secrets)
        (self.folder / MESH).write_text(site.mesh_url)
        await self.host.launch(self.holding, wanted)

    async def _check_gateway(self) -> None:
        """Its environment says where the gateway was when it started. Raises CannotRun when that is elsewhere now."""
        told = self.folder / MESH
        if told.exists() and told.read_text() != (now := await self.host.mesh_url(self.lease)):
            raise CannotRun("lost", f"it knows the gateway at {told.read_text()}, which is at {now} now")

    def _show_model(self) -> None:
        file = self.folder / "model.etag"
        if file.exists():
            self.holding.show(model_etag=file.read_text())

    async def _serve(self) -> Exit:
        """How it ended."""
        ended = asyncio.create_task(self.host.runtime.wait(self.lease.name))
        health = asyncio.create_task(self._watch())
        try:
            await asyncio.wait([ended, health], return_when=asyncio.FIRST_COMPLETED)
            if health.done() and not ended.done():
                await self.host.runtime.stop(self.lease.name, STOP_GRACE_S)
                await health  # start_timeout, hung
            return await ended
        finally:
            for task in (ended, health):
                task.cancel()
            await asyncio.gather(ended, health, return_exceptions=True)

    async def _watch(self) -> None:
        limit = float(self.lease.spec["start_timeout"])
        try:
            async with asyncio.timeout(limit):
                probe = await self._ready()
        except TimeoutError as error:
            raise Failed("start_timeout", f"it was not ready within {limit:g} s") from error
        except CannotRun:
            await asyncio.Event().wait()  # it has ended: how, is being told by the other task
            raise
        try:
            await self._until_hung(probe)
        finally:
            probe.close()

    async def _until_hung(self, probe: Probe) -> None:
        """Raises Failed."""
        clock = asyncio.get_running_loop().time
        patience = max(HUNG_S, 2 * float(self.lease.spec.get("timeout") or 0.0))
        failures, well, ill = 0, clock(), clock()
        while True:
            await asyncio.sleep(STEADY_HEALTH_S if well - ill > STEADY_AFTER_S else HEALTH_S)
            if await probe.is_ready():
                failures, well = 0, clock()
            else:
                failures, ill = failures + 1, clock()
            if failures == 0:
                self.holding.show(state="healthy", detail=self._remark)
            elif failures >= FAILURES:
                self.holding.show(state="unhealthy", detail=probe.refusal)
            if clock() - well > patience:
                raise Failed("hung", f"it was not ready for {patience:g} s, though it had been: {probe.refusal}")

    async def _ready(self) -> Probe:
        host, port = await self.host.runtime.address(self.lease.name, self.lease.spec["port"])
        probe, polls = Probe(host, port, "/readyz", self._headers), 0
        while not await probe.is_ready():
            polls += 1
            await asyncio.sleep(EARLY_S if polls < EARLY_POLLS else LATER_S)
        openapi, self._remark = await self._described(f"http://{host}:{port}/openapi.json")
        self.holding.show(state="healthy", detail=self._remark, endpoint={"host": host, "port": port}, openapi=openapi)
        return probe

    async def _described(self, url: str) -> tuple[dict[str, Any] | None, str | None]:
        """What it says of itself, or why that is no description: it serves all the same."""
        try:
            return await openapi_client.fetch(self.host.peers.session, url, self._headers), None
        except openapi_client.Unfit as unfit:
            log.get("worker").warning(
                "no description", task=self.lease.task, component=self.lease.spec["component"], why=str(unfit)
            )
            return None, f"its /openapi.json is no description: {unfit}"


def exited(ended: Exit, tail: list[str]) -> Failed:
    how = {"signal": ended.signal} if ended.signal else {"exit_code": ended.code}
    if ended.oom:
        return Failed("exited", ended.lacked, oom=True, **how)
    if program := missing(ended, tail):
        return Failed("exited", WITHOUT_PYTHON.format(program), **how)
    said = next((line for line in reversed(tail) if line.strip()), "it ended")
    return Failed("exited", said, **how)
