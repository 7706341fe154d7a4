"""The reconciler: brings an app's instances and routes to the state that its manifests describe.

The transaction that makes a revision live also writes its routes.
"""

from __future__ import annotations

from dataclasses import dataclass

from libs.common.db import Database
from libs.common.http.client import ServiceClient, ServiceClients
from libs.common.manifests.catalog import Catalog
from libs.common.protocol.route_table import AppRoutes
from libs.common.protocol.staging import SourcesRequest, SourcesResponse
from services.scheduler import long_poll_notifier
from services.scheduler.components import (
    desired_instances,
    image_resolver,
    instance_controller,
    rollout_controller,
    rollout_reporter,
    route_builder,
)
from services.scheduler.components.desired_instances import InstanceSet
from services.scheduler.db import Connection, route_table, tasks
from services.scheduler.live_catalog_cache import LiveCatalogCache
from services.scheduler.long_poll_notifier import LongPollNotifier
from services.scheduler.loop_triggers import LoopTriggers
from services.scheduler.model.reason import reason
from services.scheduler.model.task import Task


@dataclass(frozen=True)
class Reconciler:
    """Brings apps to their desired state, one pass at a time."""

    db: Database
    services: ServiceClients
    catalogs: LiveCatalogCache
    notifier: LongPollNotifier
    triggers: LoopTriggers

    async def reconcile_app(self, name: str) -> None:
        """One pass for one app; idempotent. Raises Unavailable when a service it needs is down."""
        rollout = await rollout_controller.begin_rollout(self.db, self.services.databox, name)
        rollout = await image_resolver.resolve_images(self.db, name, rollout)
        async with self.db.write() as conn:
            await instance_controller.start_and_stop(conn, name, rollout)
        self.triggers.ready_relay.wake()  # a request may be waiting for a new instance
        await _check_models(self.db, self.services.databox, name)
        async with self.db.write() as conn:
            changed = await _write_routes(conn, await rollout_controller.evaluate_rollout(conn, name))
        self.triggers.ready_relay.wake()
        if changed:
            self.catalogs.invalidate(name)
            self.notifier.notify(long_poll_notifier.ROUTE_TABLE)
            await rollout_controller.declare_boxes(self.db, self.services.databox, name, [])
        await rollout_reporter.report_rollouts(self.db, self.services.registry)


async def _check_models(db: Database, databox: ServiceClient, name: str) -> None:
    """Make instances ready whose model exists now."""
    async with db.read() as conn:
        waiting = [task for task in await tasks.list_instances(conn, name) if waits_for_model(task)]
    if not waiting:
        return
    query = SourcesRequest(locations=tuple(task.model for task in waiting if task.model), links=False)
    response = await databox.post(f"/internal/apps/{name}/sources", query.to_json())
    async with db.write() as conn:
        for task, files in zip(waiting, SourcesResponse.model_validate(response).sources, strict=True):
            unblocked = {"state": "ready", "reason": None, "not_before": None}
            blocked = {"reason": reason("model_missing", str(task.model))}
            current = await tasks.get(conn, task.id)
            if current is not None and current.state == "waiting":
                await tasks.update_task(conn, task.id, unblocked if files else blocked)


def waits_for_model(task: Task) -> bool:
    """Whether the instance waits for its model, not for the end of a back-off."""
    return task.state == "waiting" and task.not_before is None and task.model is not None


async def update_routes(conn: Connection, name: str) -> bool:
    """Write the routes of the live revision from the current instances. Whether they changed."""
    return await _write_routes(conn, await instance_controller.load_instance_set(conn, name))


async def _write_routes(conn: Connection, instance_set: InstanceSet) -> bool:
    """Write from a read made under the lock of the table: a heartbeat may have changed the instances before it."""
    if instance_set.app.catalog is None:
        return False
    old_routes = await route_table.get_app_routes(conn, instance_set.app.name)
    if _build_routes(instance_set, old_routes) == old_routes:
        return False
    await route_table.lock_route_table(conn)
    instance_set = await instance_controller.load_instance_set(conn, instance_set.app.name)
    if instance_set.app.catalog is None:
        return False
    new_routes = _build_routes(instance_set, await route_table.get_app_routes(conn, instance_set.app.name))
    return await route_table.save_app_routes(conn, instance_set.app.name, new_routes)


def _build_routes(instance_set: InstanceSet, old_routes: AppRoutes) -> AppRoutes:
    app, live_tasks = instance_set.app, desired_instances.matching_tasks(instance_set.desired_live, instance_set.tasks)
    return route_builder.build_app_routes(Catalog.from_json(app.catalog or {}), live_tasks, app.access, old_routes)
