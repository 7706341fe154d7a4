"""The instance controller: adds the tasks of missing instances, and orders the stop of unwanted ones."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace

from libs.common.db import Database, database_time
from services.scheduler.components import desired_instances, warm_instances
from services.scheduler.components.desired_instances import DesiredInstance, InstanceSet
from services.scheduler.db import Connection, apps, autoscaling, tasks, workers
from services.scheduler.loop_triggers import LoopTriggers
from services.scheduler.model.app import App
from services.scheduler.model.reason import reason
from services.scheduler.model.rollout import Rollout
from services.scheduler.model.task import Task, get_image_id


async def load_instance_set(conn: Connection, name: str) -> InstanceSet:
    app = await apps.get(conn, name) or App(name=name)
    alive_workers = await workers.list_alive(conn, await database_time(conn))
    return InstanceSet(
        app, await autoscaling.list_app_scales(conn, name), await tasks.list_instances(conn, name), alive_workers
    )


async def start_and_stop(conn: Connection, name: str, rollout: Rollout | None) -> None:
    """Add missing instances, order the stop of unwanted ones."""
    now = await database_time(conn)
    instance_set = await load_instance_set(conn, name)
    new_instances = instance_set.desired_by_rollout(rollout) if rollout else None
    instances = instance_set.desired_live + (new_instances or [])
    app_tasks, replaced = await _reuse_warm(conn, instances, instance_set.tasks, now), instance_set.replaced_ids
    to_start = desired_instances.to_start(_unique_instances(instances), app_tasks, replaced)
    await tasks.add(conn, [_new_task(name, instance, now) for instance in to_start])
    unwanted = desired_instances.to_stop(instances, app_tasks, replaced, instance_set.outdated)
    await stop_instances(conn, unwanted, now)
    unneeded = warm_instances.select_unneeded(app_tasks, instance_set.workers, now, rollout=new_instances)
    await stop_instances(conn, unneeded, now)


async def _reuse_warm(
    conn: Connection, instances: Iterable[DesiredInstance], app_tasks: Sequence[Task], now: float
) -> list[Task]:
    """Take back the order to stop of warm instances that are desired again. Returns all tasks afterwards."""
    reused = {task.id for task in warm_instances.select_reusable(instances, app_tasks, now)}
    for task_id in reused:
        await tasks.update_task(conn, task_id, {"stop_requested": False, "stop_at": None})
    return [replace(task, stop_requested=False, stop_at=None) if task.id in reused else task for task in app_tasks]


async def stop_instances(
    conn: Connection, instances: Iterable[Task], now: float, delay: float = desired_instances.DRAIN_DELAY_S
) -> None:
    """Order the stop, of healthy ones after `delay` seconds."""
    for task in instances:
        if task.state == "claimed":
            stop_at = now + delay if task.is_healthy else None
            await tasks.update_task(conn, task.id, {"stop_requested": True, "stop_at": stop_at})
        else:
            await tasks.update_task(conn, task.id, {"state": "stopped", "finished_at": now})


async def restart_component(db: Database, triggers: LoopTriggers, name: str, component: str) -> None:
    """Restart the instances of a component, with the current model.

    A healthy instance serves until its replacement is healthy; an unhealthy one is stopped immediately, and so are
    warm ones, which have an older model.
    """
    async with db.write() as conn:
        now = await database_time(conn)
        every = [task for task in await tasks.list_instances(conn, name) if task.name == component]
        instances = [task for task in every if not task.stop_requested]
        for task in instances:
            if task.is_healthy and task.instance_spec is not None:
                spec = task.instance_spec.model_copy(update={"restart_requested": True})
                await tasks.update_task(conn, task.id, {"spec": spec})
        await stop_instances(conn, [task for task in instances if not task.is_healthy], now)
        await stop_instances(conn, [task for task in every if warm_instances.is_warm(task, now)], now)
    triggers.reconcile(name)


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
        image=get_image_id(instance.spec.image),
        created_at=now,
    )
