"""Image resolver: makes the tasks that find out the images of a rollout, and stores their answers in it.

It has transactions of its own: a heartbeat locks instances before images, and so must whoever locks both.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from libs.common.db import Database, database_time
from libs.common.manifests.catalog import Catalog
from libs.common.protocol.deployment import RolloutStep
from services.scheduler.components import rollout_images
from services.scheduler.components.image_builds import BuildPlan, BuildSettings, choose_built
from services.scheduler.components.rollout_images import ImageProgress, RequestedImage
from services.scheduler.db import Connection, built_images, image_tasks, rollouts, tasks, workers
from services.scheduler.model.built_image import BuiltImage
from services.scheduler.model.rollout import Rollout, rollout_step
from services.scheduler.model.task import Task
from services.scheduler.model.worker import Worker

STEP = "images"


async def resolve_images(db: Database, app: str, rollout: Rollout | None, settings: BuildSettings) -> Rollout | None:
    """Bring the rollout's images forward; tasks that it does not want are stopped.

    Returns the rollout when its instances may start, with a catalog that names exact images; else None.
    """
    if rollout is None or rollout.has_started:
        await stop_leftover_tasks(db, app)
        return rollout
    async with db.write() as conn:
        return await _advance(conn, rollout, settings, await database_time(conn))


async def stop_leftover_tasks(db: Database, app: str) -> None:
    """Stop the tasks of an app without a rollout that waits for its images. There are rarely any."""
    async with db.read() as conn:
        leftover = await image_tasks.list_by_app(conn, app)
    if leftover:
        async with db.write() as conn:
            await stop_tasks(conn, await image_tasks.lock_by_app(conn, app))


async def _advance(conn: Connection, rollout: Rollout, settings: BuildSettings, now: float) -> Rollout | None:
    app, catalog = rollout.app, Catalog.from_json(rollout.catalog)
    app_tasks = await image_tasks.lock_by_app(conn, app)
    available = rollout_images.select_workers(await workers.list_workers(conn), now)
    plan = BuildPlan(app, rollout.commit, catalog.trees, settings)
    requested = [
        image
        for image in rollout_images.list_requested_images(catalog, plan)
        # before the first heartbeat nobody knows whether images are needed; what is pulled may be pulled later
        if any(worker.has_engine for worker in available) or (image.build is not None and not available)
    ]
    built = await _list_built(conn, rollout, requested, available)
    pulled = {
        image.name: rollout.images[image.name]
        for image in requested
        if not image.build and image.name in rollout.images
    }
    progress = rollout_images.compare_images(requested, pulled | {image.key: image.image for image in built}, app_tasks)
    rollout = await _update(conn, rollout, builds=rollout_images.find_logs(requested, app_tasks, built))
    if progress.failed:
        await stop_tasks(conn, app_tasks)
        await _fail(conn, rollout, progress, now)
        return None
    await stop_tasks(conn, [*progress.unwanted, *(task for task in app_tasks if not task.is_open)])
    await tasks.add(conn, [new_task(app, image, available, now) for image in rollout_images.select_next(progress)])
    await built_images.mark_used(conn, app, [image.key for image in built], now)
    return await _save_progress(conn, rollout, progress, plan, requested, now)


async def _list_built(
    conn: Connection, rollout: Rollout, requested: Sequence[RequestedImage], available: Iterable[Worker]
) -> list[BuiltImage]:
    """Images of builds that need not be built again."""
    if not (keys := [image.name for image in requested if image.build is not None]):
        return []
    engines = frozenset(worker.engine for worker in available if worker.engine)
    return choose_built(await built_images.list_by_keys(conn, rollout.app, keys), engines, rollout.images)


async def stop_tasks(conn: Connection, app_tasks: Sequence[Task]) -> None:
    """Order the stop of claimed tasks; delete the rows of all others."""
    for task in app_tasks:
        if task.state == "claimed" and not task.stop_requested:
            await tasks.update_task(conn, task.id, {"stop_requested": True})
    await image_tasks.delete_tasks(conn, [task for task in app_tasks if task.state != "claimed"])


def new_task(app: str, image: RequestedImage, available: Iterable[Worker], now: float) -> Task:
    return Task(
        id=f"m_{secrets.token_hex(10)}",
        kind=image.kind,
        app=app,
        name=image.task_name,
        fingerprint=image.fingerprint,
        resource_class=image.choose_class(available),
        state="ready",
        spec=image.spec,
        created_at=now,
    )


async def _save_progress(
    conn: Connection,
    rollout: Rollout,
    progress: ImageProgress,
    plan: BuildPlan,
    requested: Sequence[RequestedImage],
    now: float,
) -> Rollout | None:
    if not progress.is_complete:
        line = rollout_images.progress_line(progress)
        await _update(conn, rollout, steps=_with_step(rollout, "running", now, line), images=progress.images)
        return None
    steps = tuple(rollout.steps)
    if progress.images:
        steps = _with_step(rollout, "succeeded", now, rollout_images.result_line(progress.images, requested))
    steps = (*steps, rollout_step("start", "running", now))
    catalog = rollout_images.pin_images(rollout.catalog, progress.images, plan) if progress.images else rollout.catalog
    return await _update(conn, rollout, steps=steps, images=progress.images, catalog=catalog)


async def _fail(conn: Connection, rollout: Rollout, progress: ImageProgress, now: float) -> None:
    errors = [rollout_images.image_error(task) for task in progress.failed]
    steps = _with_step(rollout, "failed", now, errors[0].message)
    columns = {"status": "failed", "errors": errors, "steps": steps, "images": progress.images, "reported": False}
    await rollouts.update_rollout(conn, rollout.deployment, columns)


def _with_step(rollout: Rollout, status: str, now: float, line: str) -> tuple[RolloutStep, ...]:
    """The rollout's steps with this one in place of the last report of it."""
    earlier = [step for step in rollout.steps if step.name != STEP]
    started_at = next((step.started_at for step in rollout.steps if step.name == STEP), None) or now
    finished_at = None if status == "running" else now
    return (*earlier, rollout_step(STEP, status, started_at, finished=finished_at, detail=line))


async def _update(conn: Connection, rollout: Rollout, **columns: Any) -> Rollout:
    """Store what differs; the registry is told."""
    changed = {name: value for name, value in columns.items() if getattr(rollout, name) != value}
    if changed:
        await rollouts.update_rollout(conn, rollout.deployment, {**changed, "reported": False})
    return replace(rollout, **changed)
