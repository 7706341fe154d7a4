"""The scheduler's loops. Those that decide run in one scheduler at a time: the one that holds the leader's row."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from libs.common.bus import Queue
from libs.common.db import clock
from libs.common.errors import MeshError
from libs.common.log import get
from libs.common.messages import AccessChanged, FileChanged, RevisionReady
from libs.common.periodic_task import MAX_BACK_OFF_S, Loop, for_each
from services.scheduler.callbacks import dispatcher
from services.scheduler.components import load_reports, reconciler, registry_sync
from services.scheduler.db import apps, leader, rollouts, tasks
from services.scheduler.db import due_work as of_time
from services.scheduler.dependencies import Parts
from services.scheduler.runs import chain_controller, queries, retention, schedules
from services.scheduler.runs.change_poller import LOOK_S, Lookout
from services.scheduler.tasks import expiry
from services.scheduler.tasks.dispatch_relay import DispatchRelay
from services.scheduler.tasks.output_publisher import OutputPublisher

EVENTS = Queue("scheduler.events", (RevisionReady.tag, AccessChanged.tag, FileChanged.tag))
LEADERSHIP = "loops"
LEADER_LEASE_S = 6.0
"""How long the loops may stand still after the leader was killed."""
LEADER_RENEW_S = 2.0
RESIGN_S = 1.0
TICK_S = 1.0
"""Leases that end, pauses that are over, models that appeared by link."""
QUIET_S, SHARED_QUIET_S = 5.0, 2.0
"""The same while nothing is under way; the second where another scheduler may begin something."""
INTAKE_S = 15.0
SWEEP_S = 60.0
"""How often every app is looked at without a reason."""
RELAY_S = 10.0
SLOW_TICK_S = 5.0
RELAY_REST_S = 0.01
"""Between two looks at what is ready, however much comes."""
CALLBACKS_REST_S = 0.2
"""Between two looks at what is to be told, however often runs change."""
REMOVAL_S = 60.0
"""What time makes due otherwise is woken by the tick."""


class Leader:
    """Whether this scheduler leads, on its own monotonic clock, so that a stalled one stops believing it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{id(self):x}"
        self._until = 0.0

    @property
    def leading(self) -> bool:
        return time.monotonic() < self._until

    async def renew(self) -> None:
        began = time.monotonic()
        async with self._parts.db.write() as c:
            taken = await leader.acquire_leadership(c, LEADERSHIP, self._owner, LEADER_LEASE_S)
        self._until = began + LEADER_LEASE_S - LEADER_RENEW_S if taken else 0.0

    async def resign(self) -> None:
        """At a stop in order: the next one need not wait."""
        if self.leading:
            self._until = 0.0
            async with self._parts.db.write() as c:
                await leader.release_leadership(c, LEADERSHIP, self._owner)


class Steadiness:
    """Whether this scheduler could have heard every worker for a whole lease.

    After a start, a pause of the process or an outage of the database nobody's silence means anything yet.
    """

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._since = self._last = -math.inf

    def beat(self, now: float) -> bool:
        """`now`: seconds of one monotonic clock, told at every step that the database answered."""
        if now - self._last > self._lease / 2:
            self._since = now
        self._last = now
        return now - self._since >= self._lease


class Loops:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._leader = Leader(parts)
        self._dirty: set[str] = set()
        self._swept = 0.0
        self._steady = Steadiness(parts.settings.lease)
        self._heard = Steadiness(2 * load_reports.FRESH_S)
        self._scale_after = 0.0
        self._log = get("scheduler")
        self.leader = Loop("leader", self._lead, LEADER_RENEW_S, back_off=LEADER_RENEW_S)
        self.lookout = Loop("lookout", Lookout(parts).look, LOOK_S)
        self.relay = Loop("relay", DispatchRelay(parts).run_once, RELAY_S, rest=RELAY_REST_S)
        self._publisher = OutputPublisher(parts)
        self.publish = self._led("publisher", self._publisher.run_once, INTAKE_S)
        self.callbacks = self._led("callbacks", lambda: dispatcher.step(parts), REMOVAL_S, rest=CALLBACKS_REST_S)
        self.removal = self._led("removal", lambda: retention.step(parts), REMOVAL_S)
        self.intake = self._led("intake", self._take_in, INTAKE_S)
        self._tick_s = min(TICK_S, parts.settings.lease / 4)
        quiet = min(SHARED_QUIET_S if parts.db.shared else QUIET_S, parts.settings.lease / 4)
        self.tick = self._led("leases", self._tick, quiet, back_off=self._tick_s)  # a slower one is never steady
        self.scale = self._led("scaling", self._scale, TICK_S)
        self.converge = self._led("rollouts", self._converge, SWEEP_S)

    def _led(
        self,
        name: str,
        step: Callable[[], Awaitable[object]],
        interval: float,
        rest: float = 0.0,
        back_off: float = MAX_BACK_OFF_S,
    ) -> Loop:
        async def led() -> None:
            if self._leader.leading:
                await step()

        return Loop(name, led, interval, back_off, rest)

    def called(self) -> None:
        """A component that scales."""
        self._scale_after = 0.0
        self.scale.wake()

    def dirty(self, app: str) -> None:
        """Something of this app changed."""
        self._dirty.add(app)
        self.converge.wake()
        self.hurry()

    def hurry(self) -> None:
        """Something has begun that time makes due."""
        self.tick.hurry(self._tick_s)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                own = (self.leader, self.lookout, self.relay)
                led = (self.publish, self.callbacks, self.removal, self.intake, self.tick, self.scale, self.converge)
                for loop in (*own, *led):
                    group.create_task(loop.run(), name=loop.name)
                group.create_task(self._listen(), name="events")
        finally:
            await self._publisher.close()
            with suppress(MeshError, TimeoutError):
                async with asyncio.timeout(RESIGN_S):
                    await self._leader.resign()

    async def _lead(self) -> None:
        """Lead from the first moment on if nobody else does."""
        led = self._leader.leading
        await self._leader.renew()
        if self._leader.leading and not led:
            for loop in (self.publish, self.intake, self.tick, self.converge):
                loop.wake()

    async def _take_in(self) -> None:
        for app in await registry_sync.step(self._parts):
            self.dirty(app)

    async def _tick(self) -> None:
        async with self._parts.db.read() as c:
            now = await clock(c)
            due = await of_time.find_due_work(c, now)
        if due.is_busy:
            self.hurry()
        elif due.next_at is not None:
            self.tick.hurry(max(self._tick_s, due.next_at - now))
        steady = self._steady.beat(time.monotonic())
        if due.callbacks:
            self.callbacks.wake()
        if due.rollouts:
            self.converge.wake()
        if due.publications:  # the report may have come to another scheduler
            self.publish.wake()
        steps = {
            expiry.release_backoffs: due.backoffs,
            queries.end_overdue: due.overdue_runs,
            schedules.step: due.schedules,
            chain_controller.step: due.chains,
            expiry.expire_leases: due.expired_leases and steady,
        }
        wanted = (step for step, is_due in steps.items() if is_due)
        await for_each(wanted, lambda step: step(self._parts), lambda step: step.__qualname__)

    async def _scale(self) -> None:
        now = time.monotonic()
        steady = self._heard.beat(now)
        if now < self._scale_after:
            return
        found = await load_reports.step(self._parts, steady=steady)
        self._scale_after = now + SLOW_TICK_S if found is None else 0.0
        for app in found or ():
            self.dirty(app)

    async def _converge(self) -> None:
        await self._find_dirty()
        names, self._dirty = self._dirty, set()
        await for_each(sorted(names), self._converge_one)

    async def _converge_one(self, name: str) -> None:
        try:
            await reconciler.converge(self._parts, name)
        except Exception:
            self._dirty.add(name)
            raise

    async def _find_dirty(self) -> None:
        """Apps with a rollout or with an instance that waits for a model; all of them now and then."""
        async with self._parts.db.read() as c:
            self._dirty |= {rollout.app for rollout in await rollouts.list_active_rollouts(c)}
            waiting = await tasks.list_by_state(c, "instance", "waiting")
            self._dirty |= {task.app for task in waiting if reconciler.needs_model(task)}
            if time.monotonic() - self._swept > SWEEP_S:
                self._swept = time.monotonic()
                self._dirty |= set(await apps.list_names(c))

    async def _listen(self) -> None:
        """Doorbells of the registry and of the databox."""
        async with self._parts.bus.consume(EVENTS) as consumer:
            while True:
                delivery = await consumer.next()
                if isinstance(delivery.message, FileChanged):
                    self.dirty(delivery.message.app)
                else:
                    self.intake.wake()
                await delivery.ack()
