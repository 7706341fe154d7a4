"""The scheduler's control loops. Loops that decide run in one scheduler at a time: the leader."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from libs.common.bus import Queue
from libs.common.db import database_time
from libs.common.errors import MeshError
from libs.common.messages import AccessChanged, FileChanged, RevisionReady
from libs.common.periodic_task import MAX_BACK_OFF_S, PeriodicTask, WakeSignal, for_each
from services.scheduler.callbacks import sender
from services.scheduler.components import autoscaler, load_reports, model_check, registry_sync
from services.scheduler.components.image_builds import BuildSettings
from services.scheduler.components.reconciler import Reconciler
from services.scheduler.db import apps, due_conditions, rollouts, tasks
from services.scheduler.dependencies import Dependencies
from services.scheduler.expiry_grace_period import ExpiryGracePeriod
from services.scheduler.leader_election import LEADER_RENEW_S, LeaderElection
from services.scheduler.runs import deadlines, deletion, run_chain_controller
from services.scheduler.runs.change_poller import POLL_S, RunChangePoller
from services.scheduler.runs.schedule_starter import ScheduleStarter
from services.scheduler.tasks import backoff_release, lease_expiry
from services.scheduler.tasks.output_publisher import OutputPublisher
from services.scheduler.tasks.ready_relay import ReadyRelay

EVENT_QUEUE = Queue("scheduler.events", (RevisionReady.tag, AccessChanged.tag, FileChanged.tag))
RESIGN_TIMEOUT_S = 1.0
TIMER_INTERVAL_S = 1.0
"""Period of the timers: leases that expire, back-offs that are over, runs past their deadline."""
IDLE_TIMER_S, SHARED_IDLE_TIMER_S = 5.0, 2.0
"""The same while nothing is timed; the second where another scheduler may start something."""
REGISTRY_SYNC_S = 15.0
"""Fallback period: a message wakes the loop."""
FULL_RECONCILE_S = 60.0
"""Period in which every app is reconciled, changed or not."""
DISPATCH_RELAY_S = 10.0
"""Period of the ready relay while a task is ready."""
AUTOSCALE_INTERVAL_S = 1.0
"""Period of the autoscaler while a component scales; otherwise the timers start it, and load reports."""
DISPATCH_MIN_INTERVAL_S = 0.01
"""Shortest pause between two passes of the ready relay."""
CALLBACKS_MIN_INTERVAL_S = 0.2
"""Shortest pause between two passes of the callback sender."""
RETENTION_S = 60.0
"""Fallback period; the timers wake the loop when something is due."""


class ControlLoops:
    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self._election = LeaderElection(deps.db)
        self._triggers = deps.triggers
        self._last_full_reconcile = 0.0
        self._workers_observed = ExpiryGracePeriod(deps.settings.lease)
        self._gateways_observed = ExpiryGracePeriod(2 * load_reports.LOAD_FRESH_S)
        builds = BuildSettings(deps.settings.base_image, deps.settings.images)
        self._app_reconciler = Reconciler(
            deps.db, deps.services, deps.catalogs, deps.notifier, deps.triggers, builds, deps.settings.warm_time
        )
        self._schedule_starter = ScheduleStarter(
            deps.db,
            deps.services.databox,
            deps.catalogs,
            deps.applier,
            deps.triggers,
            deps.settings.waiting_runs,
        )
        self.leadership = PeriodicTask("leader", self._renew_leadership, LEADER_RENEW_S, max_back_off=LEADER_RENEW_S)
        self.change_poller = PeriodicTask("change_poller", RunChangePoller(deps.db, deps.notifier).poll, POLL_S)
        self.ready_relay = PeriodicTask(
            "relay",
            ReadyRelay(deps.db, deps.publisher, deps.settings.app_stages).run_once,
            FULL_RECONCILE_S,
            min_interval=DISPATCH_MIN_INTERVAL_S,
            signal=deps.triggers.ready_relay,
        )
        self._publisher = OutputPublisher(deps.db, deps.services.databox, deps.applier)
        self.output_publisher = self._leader_only(
            "publisher", deps.triggers.output_publisher, self._publisher.run_once, FULL_RECONCILE_S
        )
        self.callbacks = self._leader_only(
            "callbacks",
            deps.triggers.callbacks,
            lambda: sender.send_callbacks(deps.db, deps.public_http, deps.triggers, deps.settings),
            RETENTION_S,
            min_interval=CALLBACKS_MIN_INTERVAL_S,
        )
        self.retention = self._leader_only(
            "retention",
            deps.triggers.retention,
            lambda: deletion.enforce_retention(deps.db, deps.services.databox, deps.settings),
            RETENTION_S,
        )
        self.registry_sync = self._leader_only(
            "registry_sync",
            deps.triggers.registry_sync,
            self._sync_registry,
            REGISTRY_SYNC_S if deps.db.shared else FULL_RECONCILE_S,  # messages within one process do not get lost
        )
        idle_interval = min(SHARED_IDLE_TIMER_S if deps.db.shared else IDLE_TIMER_S, deps.settings.lease / 4)
        self.timers = self._leader_only(
            "timers", deps.triggers.timers, self._run_timers, idle_interval, back_off=self._triggers.timer_interval
        )  # a longer back-off would keep the observation window from ever filling
        self.autoscaler = self._leader_only(
            "autoscaler", deps.triggers.autoscaler, self._run_autoscaler, FULL_RECONCILE_S
        )
        self.reconciler = self._leader_only(
            "reconciler", deps.triggers.reconciler, self._reconcile_dirty, FULL_RECONCILE_S
        )

    def _leader_only(
        self,
        name: str,
        signal: WakeSignal,
        step: Callable[[], Awaitable[object]],
        interval: float,
        min_interval: float = 0.0,
        back_off: float = MAX_BACK_OFF_S,
    ) -> PeriodicTask:
        async def run_if_leader() -> None:
            if self._election.is_leader:
                await step()

        return PeriodicTask(name, run_if_leader, interval, back_off, min_interval, signal)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                shared_loops = (self.leadership, self.change_poller, self.ready_relay)
                leader_loops = (
                    self.output_publisher,
                    self.callbacks,
                    self.retention,
                    self.registry_sync,
                    self.timers,
                    self.autoscaler,
                    self.reconciler,
                )
                for loop in (*shared_loops, *leader_loops):
                    group.create_task(loop.run(), name=loop.name)
                group.create_task(self._consume_events(), name="events")
        finally:
            await self._publisher.close()
            with suppress(MeshError, TimeoutError):
                async with asyncio.timeout(RESIGN_TIMEOUT_S):
                    await self._election.resign()

    async def _renew_leadership(self) -> None:
        """Renew the leadership; a new leader starts its loops at once."""
        was_leader = self._election.is_leader
        await self._election.renew_leadership()
        if self._election.is_leader and not was_leader:
            for loop in (self.output_publisher, self.registry_sync, self.timers, self.reconciler):
                loop.wake()

    async def _sync_registry(self) -> None:
        for app in await registry_sync.sync_registry(
            self._deps.db, self._deps.services.registry, self._deps.catalogs, self._deps.applier
        ):
            self._triggers.reconcile(app)

    async def _run_timers(self) -> None:
        async with self._deps.db.read() as conn:
            now = await database_time(conn)
            due = await due_conditions.find_due_work(conn, now)
        if due.is_busy:
            self._triggers.hurry_timers()
        elif due.next_at is not None:
            self.timers.run_within(max(self._triggers.timer_interval, due.next_at - now))
        can_expire = self._workers_observed.observe(time.monotonic())
        if due.callbacks:
            self.callbacks.wake()
        if due.rollouts:
            self.reconciler.wake()
        if due.ready:
            self.ready_relay.run_within(DISPATCH_RELAY_S)
        if due.scaling:
            self.autoscaler.run_within(AUTOSCALE_INTERVAL_S)
        if due.publications:  # another scheduler may have received the report
            self.output_publisher.wake()
        steps: dict[Callable[[], Awaitable[None]], bool] = {
            self._release_backoffs: due.backoffs,
            self._cancel_overdue_runs: due.overdue_runs,
            self._schedule_starter.start_due_schedules: due.schedules,
            self._advance_chains: due.chains,
            self._expire_leases: due.expired_leases and can_expire,
        }
        due_steps = (step for step, is_due in steps.items() if is_due)
        await for_each(due_steps, lambda step: step(), lambda step: step.__name__.lstrip("_"))

    async def _release_backoffs(self) -> None:
        await backoff_release.release_backoffs(self._deps.db, self._deps.applier)

    async def _cancel_overdue_runs(self) -> None:
        await deadlines.cancel_overdue_runs(self._deps.db, self._deps.applier)

    async def _advance_chains(self) -> None:
        await run_chain_controller.advance_chains(self._deps.db, self._deps.applier)

    async def _expire_leases(self) -> None:
        await lease_expiry.expire_leases(self._deps.db, self._deps.applier)

    async def _run_autoscaler(self) -> None:
        can_scale_down = self._gateways_observed.observe(time.monotonic())
        changed_apps = await autoscaler.update_scaling(self._deps.db, silence_is_idle=can_scale_down)
        if changed_apps is None:
            return
        self.autoscaler.run_within(AUTOSCALE_INTERVAL_S)
        for app in changed_apps:
            self._triggers.reconcile(app)

    async def _reconcile_dirty(self) -> None:
        await self._collect_dirty()
        names = sorted(self._triggers.dirty_apps)
        self._triggers.dirty_apps.clear()
        await for_each(names, self._reconcile_app)

    async def _reconcile_app(self, app: str) -> None:
        try:
            await self._app_reconciler.reconcile_app(app)
        except Exception:
            self._triggers.dirty_apps.add(app)
            raise

    async def _collect_dirty(self) -> None:
        """Mark apps with a rollout or an instance that waits for a model; every app once per FULL_RECONCILE_S."""
        async with self._deps.db.read() as conn:
            dirty_apps = self._triggers.dirty_apps
            dirty_apps.update(rollout.app for rollout in await rollouts.list_active_rollouts(conn))
            waiting = await tasks.list_by_state(conn, "instance", "waiting")
            dirty_apps.update(task.app for task in waiting if model_check.waits_for_model(task))
            if time.monotonic() - self._last_full_reconcile > FULL_RECONCILE_S:
                self._last_full_reconcile = time.monotonic()
                dirty_apps.update(await apps.list_names(conn))

    async def _consume_events(self) -> None:
        """Events of the registry and of databox: hints to synchronise or reconcile early."""
        async with self._deps.bus.consume(EVENT_QUEUE) as consumer:
            while True:
                delivery = await consumer.next()
                if isinstance(delivery.message, FileChanged):
                    self._triggers.reconcile(delivery.message.app)
                else:
                    self.registry_sync.wake()
                await delivery.ack()
