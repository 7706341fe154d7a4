"""The reconciler: brings an app's instances and routes to the state that its manifests describe.

A rollout starts the new instances beside the live ones. When each new instance is healthy, or blocked by something
outside the rollout such as a missing model, one transaction makes the revision live and writes the routes. If one
fails, the new instances are stopped.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

from libs.common.db import Database, database_time
from libs.common.http.client import ServiceClient, ServiceClients
from libs.common.manifests.catalog import Catalog
from libs.common.protocol.box import BoxCapacity, BoxDeclaration
from libs.common.protocol.deployment import RolloutStep
from libs.common.protocol.route_table import AppRoutes
from libs.common.protocol.staging import SourcesRequest, SourcesResponse
from services.scheduler import long_poll_notifier
from services.scheduler.components import (
    desired_instances,
    replica_calculator,
    rollout_reporter,
    rollout_verdict,
    route_builder,
)
from services.scheduler.components.desired_instances import DesiredInstance, InstanceSet
from services.scheduler.db import Connection, apps, autoscaling, route_table, tasks, workers
from services.scheduler.db import rollouts as rollout_rows
from services.scheduler.live_catalog_cache import LiveCatalogCache
from services.scheduler.long_poll_notifier import LongPollNotifier
from services.scheduler.loop_triggers import LoopTriggers
from services.scheduler.model.app import App
from services.scheduler.model.reason import reason
from services.scheduler.model.rollout import Rollout
from services.scheduler.model.task import Task
from services.scheduler.runs import schedule_starter


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
        rollout = await _begin_rollout(self.db, self.services.databox, name)
        async with self.db.write() as conn:
            await _start_and_stop(conn, name, rollout)
        self.triggers.ready_relay.wake()  # a request may be waiting for a new instance
        await _check_models(self.db, self.services.databox, name)
        async with self.db.write() as conn:
            changed = await evaluate_rollout(conn, name)
        self.triggers.ready_relay.wake()
        if changed:
            self.catalogs.invalidate(name)
            self.notifier.notify(long_poll_notifier.ROUTE_TABLE)
            await declare_boxes(self.db, self.services.databox, name, [])
        await rollout_reporter.report_rollouts(self.db, self.services.registry)


async def _begin_rollout(db: Database, databox: ServiceClient, name: str) -> Rollout | None:
    """The newest open rollout, its boxes declared; older ones become superseded."""
    async with db.read() as conn:
        open_rollouts = await rollout_rows.list_active_rollouts(conn, name)
    if open_rollouts[1:]:
        async with db.write() as conn:
            for old in open_rollouts[:-1]:
                await rollout_rows.update_rollout(conn, old.deployment, {"status": "superseded", "reported": False})
    newest = open_rollouts[-1] if open_rollouts else None
    if newest is not None and not newest.steps:
        await declare_boxes(db, databox, name, [Catalog.from_json(newest.catalog)])
        async with db.write() as conn:
            now = await database_time(conn)
            steps = (rollout_step("boxes", "succeeded", now, finished=now), rollout_step("start", "running", now))
            await rollout_rows.update_rollout(conn, newest.deployment, {"steps": steps, "reported": False})
            newest = replace(newest, steps=steps)
    return newest


def rollout_step(
    name: str, status: str, started: float, *, finished: float | None = None, detail: str = ""
) -> RolloutStep:
    return RolloutStep(name=name, status=status, detail=detail, started_at=started, finished_at=finished)


async def declare_boxes(db: Database, databox: ServiceClient, name: str, extra: Iterable[Catalog]) -> None:
    """Declare the boxes of the live revision and of `extra`; databox detaches all others and keeps their data."""
    async with db.read() as conn:
        app = await apps.get(conn, name)
    catalogs = ([Catalog.from_json(app.catalog)] if app and app.catalog else []) + list(extra)
    boxes = {
        box: BoxCapacity(capacity=box_manifest.spec.s3_default_storage.capacity)
        for catalog in catalogs
        for box, box_manifest in catalog.boxes.items()
    }
    await databox.put(f"/internal/apps/{name}/boxes", BoxDeclaration(boxes=boxes).to_json())


async def restart_component(db: Database, triggers: LoopTriggers, name: str, component: str) -> None:
    """Restart the instances of a component, with the current model.

    A healthy instance serves until its replacement is healthy; an unhealthy one is stopped immediately.
    """
    async with db.write() as conn:
        instances = [
            task
            for task in await tasks.list_instances(conn, name)
            if task.name == component and not task.stop_requested
        ]
        for task in instances:
            if task.is_healthy and task.spec is not None:
                spec = task.spec.model_copy(update={"restart_requested": True})
                await tasks.update_task(conn, task.id, {"spec": spec})
        await _stop_instances(conn, [task for task in instances if not task.is_healthy], await database_time(conn))
    triggers.reconcile(name)


async def _start_and_stop(conn: Connection, name: str, rollout: Rollout | None) -> None:
    """Add missing instances, order the stop of unwanted ones."""
    now = await database_time(conn)
    instance_set = await _load_instance_set(conn, name)
    instances = instance_set.desired_live + (instance_set.desired_by_rollout(rollout) if rollout else [])
    to_start = desired_instances.to_start(_unique_instances(instances), instance_set.tasks, instance_set.replaced_ids)
    await tasks.add(conn, [_new_task(name, instance, now) for instance in to_start])
    await _stop_instances(
        conn, desired_instances.to_stop(instances, instance_set.tasks, instance_set.replaced_ids), now
    )


async def _stop_instances(conn: Connection, instances: Iterable[Task], now: float) -> None:
    for task in instances:
        if task.state == "claimed":
            stop_at = now + desired_instances.DRAIN_DELAY_S if task.is_healthy else None
            await tasks.update_task(conn, task.id, {"stop_requested": True, "stop_at": stop_at})
        else:
            await tasks.update_task(conn, task.id, {"state": "stopped", "finished_at": now})


async def _load_instance_set(conn: Connection, name: str) -> InstanceSet:
    app = await apps.get(conn, name) or App(name=name)
    alive_workers = await workers.list_alive(conn, await database_time(conn))
    return InstanceSet(
        app, await autoscaling.list_app_scales(conn, name), await tasks.list_instances(conn, name), alive_workers
    )


def _unique_instances(
    instances: Iterable[DesiredInstance],
) -> list[DesiredInstance]:
    return list({instance.key: instance for instance in instances}.values())


def _new_task(app: str, instance: DesiredInstance, now: float) -> Task:
    has_model = instance.spec.model is not None
    return Task(
        id=f"i_{secrets.token_hex(10)}",
        kind="instance",
        app=app,
        name=instance.name,
        replica=instance.replica,
        fingerprint=instance.fingerprint,
        resource_class=instance.resource_class,
        state="waiting" if has_model else "ready",
        reason=reason("checking_model") if has_model else None,
        spec=instance.spec,
        created_at=now,
    )


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


async def evaluate_rollout(conn: Connection, name: str) -> bool:
    """Finish the rollout if its verdict allows, then write the routes. Whether the route table changed."""
    instance_set = await _load_instance_set(conn, name)
    rollouts = await rollout_rows.list_active_rollouts(conn, name)
    if rollouts and rollouts[-1].steps:  # without steps it has just arrived, and its boxes are not declared yet
        instance_set = await _apply_verdict(conn, instance_set, rollouts[-1], await database_time(conn))
    return await _write_routes(conn, instance_set)


async def update_routes(conn: Connection, name: str) -> bool:
    """Write the routes of the live revision from the current instances. Whether they changed."""
    return await _write_routes(conn, await _load_instance_set(conn, name))


async def _write_routes(conn: Connection, instance_set: InstanceSet) -> bool:
    """Write from a read made under the lock of the table: a heartbeat may have changed the instances before it."""
    if instance_set.app.catalog is None:
        return False
    old_routes = await route_table.get_app_routes(conn, instance_set.app.name)
    if _build_routes(instance_set, old_routes) == old_routes:
        return False
    await route_table.lock_route_table(conn)
    instance_set = await _load_instance_set(conn, instance_set.app.name)
    if instance_set.app.catalog is None:
        return False
    new_routes = _build_routes(instance_set, await route_table.get_app_routes(conn, instance_set.app.name))
    return await route_table.save_app_routes(conn, instance_set.app.name, new_routes)


def _build_routes(instance_set: InstanceSet, old_routes: AppRoutes) -> AppRoutes:
    app, live_tasks = instance_set.app, desired_instances.matching_tasks(instance_set.desired_live, instance_set.tasks)
    return route_builder.build_app_routes(Catalog.from_json(app.catalog or {}), live_tasks, app.access, old_routes)


async def _apply_verdict(conn: Connection, instance_set: InstanceSet, rollout: Rollout, now: float) -> InstanceSet:
    """Fail the rollout, make it live or update its steps. Returns the instance set afterwards."""
    app, new_instances = instance_set.app, instance_set.desired_by_rollout(rollout)
    new_tasks = desired_instances.matching_tasks(new_instances, instance_set.tasks)
    verdict, verdict_tasks = rollout_verdict.rollout_verdict(new_tasks)
    if len(new_tasks) < len(new_instances):
        verdict, verdict_tasks = "starting", []
    earlier_steps = [step for step in rollout.steps if step.name not in ("start", "switch")]
    started_at = next((step.started_at for step in rollout.steps if step.name == "start"), None) or now
    detail = "; ".join(rollout_verdict.status_line(task) for task in new_tasks)
    if verdict == "starting":
        steps = (*earlier_steps, rollout_step("start", "running", started_at, detail=detail))
        if steps != tuple(rollout.steps):
            await rollout_rows.update_rollout(conn, rollout.deployment, {"steps": steps, "reported": False})
        return instance_set
    if verdict == "failed":
        columns = {"status": "failed", "errors": [rollout_verdict.instance_error(task) for task in verdict_tasks]}
        steps = (*earlier_steps, rollout_step("start", "failed", started_at, finished=now, detail=detail))
        await rollout_rows.update_rollout(conn, rollout.deployment, {**columns, "steps": steps, "reported": False})
        await _stop_unwanted(conn, instance_set, now)
        return instance_set
    finished = rollout_step("start", "succeeded", started_at, finished=now, detail=detail)
    steps = (*earlier_steps, finished, rollout_step("switch", "succeeded", now, finished=now))
    warnings = [rollout_verdict.instance_warning(task) for task in new_tasks if task.is_healthy and task.detail]
    rollout_columns = {"status": "live", "steps": steps, "warnings": warnings, "reported": False}
    await rollout_rows.update_rollout(conn, rollout.deployment, rollout_columns)
    live = {"deployment": rollout.deployment, "commit": rollout.commit, "catalog": rollout.catalog}
    await apps.put(conn, app.name, live)
    scaling = replica_calculator.scaling_for_revision(Catalog.from_json(rollout.catalog), instance_set.scales)
    await autoscaling.replace_app_scales(conn, app.name, scaling)
    await schedule_starter.save_schedules(conn, app.name, Catalog.from_json(rollout.catalog), now)
    instance_set = InstanceSet(
        replace(app, deployment=rollout.deployment, commit=rollout.commit, catalog=rollout.catalog),
        {name: scale for name, (_, scale) in scaling.items()},
        instance_set.tasks,
    )
    await _stop_unwanted(conn, instance_set, now)
    return instance_set


async def _stop_unwanted(conn: Connection, instance_set: InstanceSet, now: float) -> None:
    """Order the stop of instances that the live revision does not want."""
    await _stop_instances(conn, desired_instances.to_stop(instance_set.desired_live, instance_set.tasks), now)
