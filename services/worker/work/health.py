"""Health monitoring of an instance: waits until it is ready, then probes it until it has to be restarted."""

from __future__ import annotations

import asyncio
from typing import Unpack

from libs.common import log
from libs.common.protocol.heartbeat import InstanceEndpoint
from libs.common.protocol.instance import InstanceSpec
from services.worker.context import WorkerContext
from services.worker.failures import TaskFailed
from services.worker.held_tasks import HeldTask, StatusChange
from services.worker.runtime import RuntimeFailure
from services.worker.work import openapi_client
from services.worker.work.probe import HealthProbe

FAST_PROBE_S = 0.025
SLOW_PROBE_S = 0.25
FAST_PROBES = 80
HEALTH_INTERVAL_S = 2.0
"""Interval of health checks,"""
STEADY_HEALTH_INTERVAL_S = 10.0
"""and of an instance that has been healthy for STEADY_AFTER_S. A failed check brings the shorter one back, and
the gateway ejects an instance whose calls fail at once."""
STEADY_AFTER_S = 30.0
UNHEALTHY_AFTER = 3
"""Consecutive failed health checks that make it unhealthy."""
UNHEALTHY_LIMIT_S = 30.0
"""It is restarted after it was unhealthy for this long, and twice as long as a call may take."""


class HealthMonitor:
    """Reports the health of one instance in its status."""

    def __init__(self, context: WorkerContext, held_task: HeldTask, spec: InstanceSpec) -> None:
        self._context, self._held_task, self._lease, self._spec = context, held_task, held_task.lease, spec
        self._headers = {"X-Mlmesh-Token": spec.instance_token}
        self._openapi_problem: str | None = None
        """A warning for its owner although it serves."""
        self._is_healthy = False

    async def run(self) -> None:
        """Never returns. Raises TaskFailed if the instance is not ready in time, or unhealthy for too long."""
        limit = self._spec.start_timeout
        try:
            async with asyncio.timeout(limit):
                probe = await self._wait_until_ready()
        except TimeoutError as error:
            raise TaskFailed("start_timeout", f"it was not ready within {limit:g} s") from error
        except RuntimeFailure:
            await asyncio.Event().wait()  # it has exited: the other task reports how
            raise
        try:
            await self._wait_until_hung(probe)
        finally:
            probe.close()

    async def _wait_until_hung(self, probe: HealthProbe) -> None:
        """Raises TaskFailed."""
        clock = asyncio.get_running_loop().time
        limit = max(UNHEALTHY_LIMIT_S, 2 * self._spec.timeout)
        failures, last_ready, last_failure = 0, clock(), clock()
        while True:
            await asyncio.sleep(
                STEADY_HEALTH_INTERVAL_S if last_ready - last_failure > STEADY_AFTER_S else HEALTH_INTERVAL_S
            )
            if await probe.is_ready():
                failures, last_ready = 0, clock()
            else:
                failures, last_failure = failures + 1, clock()
            if failures == 0:
                self._set_healthy(detail=self._openapi_problem)
            elif failures >= UNHEALTHY_AFTER:
                self._set_unhealthy(probe.not_ready_reason)
            if clock() - last_ready > limit:
                raise TaskFailed("hung", f"it was unhealthy for {limit:g} s: {probe.not_ready_reason}")

    async def _wait_until_ready(self) -> HealthProbe:
        host, port = await self._context.runtime.get_address(self._lease.container_name, self._spec.port)
        probe, polls = HealthProbe(host, port, "/readyz", self._headers), 0
        while not await probe.is_ready():
            polls += 1
            await asyncio.sleep(FAST_PROBE_S if polls < FAST_PROBES else SLOW_PROBE_S)
        openapi, self._openapi_problem = await self._fetch_openapi(f"http://{host}:{port}/openapi.json")
        endpoint = InstanceEndpoint.model_construct(host=host, port=port)
        self._set_healthy(detail=self._openapi_problem, endpoint=endpoint, openapi=openapi)
        return probe

    def _set_healthy(self, **status: Unpack[StatusChange]) -> None:
        if not self._is_healthy:
            log.get("worker").info("Instance ready", component=self._spec.component, **self._lease.log_fields)
        self._is_healthy = True
        status["state"] = "healthy"
        self._held_task.update_status(**status)

    def _set_unhealthy(self, why: str | None) -> None:
        if self._is_healthy:
            fields = {"component": self._spec.component, **self._lease.log_fields}
            why = None if why is None else self._held_task.redactor.redact(why)
            log.get("worker").warning("Instance unhealthy", why=why, **fields)
        self._is_healthy = False
        self._held_task.update_status(state="unhealthy", detail=why)

    async def _fetch_openapi(self, url: str) -> tuple[dict[str, object] | None, str | None]:
        """Return its OpenAPI document, or why it has no valid one; it serves either way."""
        try:
            return await openapi_client.fetch_openapi(self._context.peers.session, url, self._headers), None
        except openapi_client.InvalidOpenapi as error:
            log.get("worker").warning(
                "Invalid OpenAPI document",
                task=self._lease.task,
                component=self._spec.component,
                why=self._held_task.redactor.redact(str(error)),
            )
            return None, f"invalid /openapi.json: {error}"
