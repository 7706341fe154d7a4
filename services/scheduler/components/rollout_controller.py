"""The rollout controller: begins a rollout, and makes its revision live or fails it by the verdict on its instances.

The new instances start beside the live ones. When each is healthy, or blocked by something outside the rollout such as
a missing model, the revision becomes live. If one fails, the new instances are stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from libs.common.db import Database, database_time
from libs.common.http.client import ServiceClient
from libs.common.manifests.catalog import Catalog
from libs.common.protocol.box import BoxCapacity, BoxDeclaration
from libs.common.protocol.deployment import RolloutProblem, RolloutStep
from services.scheduler.components import (
    desired_instances,
    instance_controller,
    replica_calculator,
    rollout_verdict,
    warm_instances,
)
from services.scheduler.components.desired_instances import DesiredInstance, InstanceSet
from services.scheduler.db import Connection, apps, autoscaling, built_images
from services.scheduler.db import rollouts as rollout_rows
from services.scheduler.model.rollout import Rollout, rollout_step
from services.scheduler.model.task import Task
from services.scheduler.runs import schedules


async def begin_rollout(db: Database, databox: ServiceClient, name: str) -> Rollout | None:
    """The newest open rollout, its boxes declared; older ones become superseded.

    The step of a new one is stored with the next one, of its images or its start.
    """
    async with db.read() as conn:
        open_rollouts = await rollout_rows.list_active_rollouts(conn, name)
    if open_rollouts[1:]:
        async with db.write() as conn:
            for old in open_rollouts[:-1]:
                await rollout_rows.update_rollout(conn, old.deployment, {"status": "superseded", "reported": False})
    newest = open_rollouts[-1] if open_rollouts else None
    if newest is not None and not newest.steps:
        await declare_boxes(db, databox, name, [Catalog.from_json(newest.catalog)])
        async with db.read() as conn:
            now = await database_time(conn)
        newest = replace(newest, steps=(rollout_step("boxes", "succeeded", now, finished=now),))
    return newest


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


async def evaluate_rollout(conn: Connection, name: str, warm_time: float = 0.0) -> InstanceSet:
    """Finish the rollout if its verdict allows. Returns the app's instance set afterwards.

    Instances that it replaces stay warm for `warm_time` seconds.
    """
    instance_set = await instance_controller.load_instance_set(conn, name)
    rollouts = await rollout_rows.list_active_rollouts(conn, name)
    if rollouts and rollouts[-1].has_started:  # else its boxes or images are not prepared yet
        instance_set = await _apply_verdict(conn, instance_set, rollouts[-1], await database_time(conn), warm_time)
    return instance_set


async def _apply_verdict(
    conn: Connection, instance_set: InstanceSet, rollout: Rollout, now: float, warm_time: float
) -> InstanceSet:
    """Fail the rollout, make it live or update its steps. Returns the instance set afterwards."""
    new_instances = instance_set.desired_by_rollout(rollout)
    matching = desired_instances.matching_tasks(new_instances, instance_set.tasks)
    engines = await built_images.list_engines(conn, {task.image for task in matching if task.image is not None})
    new_tasks = rollout_verdict.explain_waiting(matching, instance_set.workers, engines)
    verdict, verdict_tasks = rollout_verdict.rollout_verdict(new_tasks)
    waited = now - find_start(rollout, now)
    if abandoned := rollout_verdict.select_abandoned(new_tasks, instance_set.workers, engines, waited):
        errors = [rollout_verdict.abandoned_error(task) for task in abandoned]
        await _fail(conn, instance_set, rollout, new_tasks, errors, now)
    elif verdict == "starting" or len(new_tasks) < len(new_instances):
        steps = _steps_until_start(rollout, "running", new_tasks, now)
        counts = {"ready": len(new_tasks) - len(verdict_tasks), "total": len(new_instances)}
        await _update_steps(conn, rollout, (*steps[:-1], steps[-1].model_copy(update=counts)))
    elif verdict == "failed":
        errors = [rollout_verdict.instance_error(task) for task in verdict_tasks]
        await _fail(conn, instance_set, rollout, new_tasks, errors, now)
    else:
        warnings = [rollout_verdict.instance_warning(task) for task in new_tasks if task.is_healthy and task.detail]
        switched = rollout_step("switch", "succeeded", now, finished=now)
        steps = (*_steps_until_start(rollout, "succeeded", new_tasks, now), switched)
        columns = {"status": "live", "steps": steps, "warnings": warnings, "reported": False}
        await rollout_rows.update_rollout(conn, rollout.deployment, columns)
        replaced = instance_set.desired_live
        instance_set = await _make_live(conn, instance_set, rollout, now)
        await _stop_replaced(conn, instance_set, replaced, now, warm_time)
    return instance_set


async def _fail(
    conn: Connection,
    instance_set: InstanceSet,
    rollout: Rollout,
    new_tasks: Iterable[Task],
    errors: Sequence[RolloutProblem],
    now: float,
) -> None:
    steps = _steps_until_start(rollout, "failed", new_tasks, now)
    columns = {"status": "failed", "errors": errors, "steps": steps, "reported": False}
    await rollout_rows.update_rollout(conn, rollout.deployment, columns)
    await _stop_unwanted(conn, instance_set, now)


def find_start(rollout: Rollout, now: float) -> float:
    """When its instances were started; `now` when they are only now."""
    return next((step.started_at for step in rollout.steps if step.name == "start"), None) or now


def _steps_until_start(rollout: Rollout, status: str, tasks: Iterable[Task], now: float) -> tuple[RolloutStep, ...]:
    """The rollout's steps, the last of which is `start`, with a line on each instance, ordered by component."""
    earlier_steps = (step for step in rollout.steps if step.name not in ("start", "switch"))
    started_at = find_start(rollout, now)
    finished_at = None if status == "running" else now
    detail = "; ".join(sorted(rollout_verdict.status_line(task) for task in tasks))
    return (*earlier_steps, rollout_step("start", status, started_at, finished=finished_at, detail=detail))


async def _update_steps(conn: Connection, rollout: Rollout, steps: tuple[RolloutStep, ...]) -> None:
    if steps != tuple(rollout.steps):
        await rollout_rows.update_rollout(conn, rollout.deployment, {"steps": steps, "reported": False})


async def _make_live(conn: Connection, instance_set: InstanceSet, rollout: Rollout, now: float) -> InstanceSet:
    """Make the revision live, with its replica counts and schedules. Returns the instance set afterwards."""
    app, catalog = instance_set.app, Catalog.from_json(rollout.catalog)
    live = {"deployment": rollout.deployment, "commit": rollout.commit, "catalog": rollout.catalog}
    await apps.put(conn, app.name, live)
    scaling = replica_calculator.scaling_for_revision(catalog, instance_set.scales)
    await autoscaling.replace_app_scales(conn, app.name, scaling)
    await schedules.save_schedules(conn, app.name, catalog, now)
    live_app = replace(app, deployment=rollout.deployment, commit=rollout.commit, catalog=rollout.catalog)
    return InstanceSet(live_app, {name: scale for name, (_, scale) in scaling.items()}, instance_set.tasks)


async def _stop_replaced(
    conn: Connection, instance_set: InstanceSet, replaced: Sequence[DesiredInstance], now: float, warm_time: float
) -> None:
    """Order the stop of what the revision that is live now does not want: of what it replaces after `warm_time`."""
    unwanted = desired_instances.to_stop(instance_set.desired_live, instance_set.tasks)
    warm = [task for task in unwanted if warm_time and warm_instances.may_stay_warm(task, replaced)]
    await instance_controller.stop_instances(conn, [task for task in unwanted if task not in warm], now)
    await instance_controller.stop_instances(conn, warm, now, max(warm_time, desired_instances.DRAIN_DELAY_S))


async def _stop_unwanted(conn: Connection, instance_set: InstanceSet, now: float) -> None:
    """Order the stop of instances that the live revision does not want."""
    unwanted = desired_instances.to_stop(instance_set.desired_live, instance_set.tasks, outdated=instance_set.outdated)
    await instance_controller.stop_instances(conn, unwanted, now)
