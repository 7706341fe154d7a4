"""The reconciler: brings an app's instances and routes to the state that its manifests describe.

The transaction that makes a revision live also writes its routes.
"""

from __future__ import annotations

from dataclasses import dataclass

from libs.common.db import Database
from libs.common.http.client import ServiceClients
from services.scheduler import long_poll_notifier
from services.scheduler.components import (
    image_resolver,
    instance_controller,
    model_check,
    rollout_controller,
    rollout_reporter,
    route_writer,
)
from services.scheduler.components.image_builds import BuildSettings
from services.scheduler.live_catalog_cache import LiveCatalogCache
from services.scheduler.long_poll_notifier import LongPollNotifier
from services.scheduler.loop_triggers import LoopTriggers


@dataclass(frozen=True)
class Reconciler:
    """Brings apps to their desired state, one pass at a time."""

    db: Database
    services: ServiceClients
    catalogs: LiveCatalogCache
    notifier: LongPollNotifier
    triggers: LoopTriggers
    builds: BuildSettings
    warm_time: float = 0.0
    """Seconds that replaced instances stay warm."""

    async def reconcile_app(self, name: str) -> None:
        """One pass for one app; idempotent. Raises Unavailable when a service it needs is down."""
        rollout = await rollout_controller.begin_rollout(self.db, self.services.databox, name)
        rollout = await image_resolver.resolve_images(self.db, name, rollout, self.builds)
        async with self.db.write() as conn:
            await instance_controller.start_and_stop(conn, name, rollout)
        self.triggers.ready_relay.wake()  # a request may be waiting for a new instance
        await model_check.check_models(self.db, self.services.databox, name)
        async with self.db.write() as conn:
            instance_set = await rollout_controller.evaluate_rollout(conn, name, self.warm_time)
            changed = await route_writer.write_routes(conn, instance_set)
        self.triggers.ready_relay.wake()
        if changed:
            self.catalogs.invalidate(name)
            self.notifier.notify(long_poll_notifier.ROUTE_TABLE)
            await rollout_controller.declare_boxes(self.db, self.services.databox, name, [])
        await rollout_reporter.report_rollouts(self.db, self.services.registry)
