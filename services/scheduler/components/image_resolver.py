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
from services.scheduler.components.rollout_images import ImageProgress, RequestedImage
from services.scheduler.db import Connection, image_tasks, rollouts, tasks, workers
from services.scheduler.model.rollout import Rollout, rollout_step
from services.scheduler.model.task import Task
from services.scheduler.model.worker import Worker

STEP = "images"


async def resolve_images(db: Database, app: str, rollout: Rollout | None) -> Rollout | None:
    """Bring the rollout's images forward; tasks that it does not want are stopped.

    Returns the rollout when its instances may start, with a catalog that names exact images; else None.
    """
    if rollout is None or rollout.has_started:
        await stop_leftover_tasks(db, app)
        return rollout
    async with db.write() as conn:
        return await _advance(conn, app, rollout, await database_time(conn))


async def stop_leftover_tasks(db: Database, app: str) -> None:
    """Stop the tasks of an app without a rollout that waits for its images. There are rarely any."""
    async with db.read() as conn:
        leftover = await image_tasks.list_by_app(conn, app)
    if leftover:
        async with db.write() as conn:
            await stop_tasks(conn, await image_tasks.lock_by_app(conn, app))


async def _advance(conn: Connection, app: str, rollout: Rollout, now: float) -> Rollout | None:
    app_tasks = await image_tasks.lock_by_app(conn, app)
    available = rollout_images.select_workers(await workers.list_workers(conn), now)
    needs_images = any(worker.has_engine for worker in available)
    requested = rollout_images.list_requested_images(Catalog.from_json(rollout.catalog)) if needs_images else []
    progress = rollout_images.compare_images(requested, rollout.images, app_tasks)
    if progress.failed:
        await stop_tasks(conn, app_tasks)
        await _fail(conn, rollout, progress, now)
        return None
    await stop_tasks(conn, [*progress.unwanted, *(task for task in app_tasks if not task.is_open)])
    await tasks.add(conn, [new_task(app, image, available, now) for image in progress.missing])
    return await _save_progress(conn, rollout, progress, now)


async def stop_tasks(conn: Connection, app_tasks: Sequence[Task]) -> None:
    """Order the stop of claimed tasks; delete the rows of all others."""
    for task in app_tasks:
        if task.state == "claimed" and not task.stop_requested:
            await tasks.update_task(conn, task.id, {"stop_requested": True})
    await image_tasks.delete_tasks(conn, [task for task in app_tasks if task.state != "claimed"])


def new_task(app: str, image: RequestedImage, available: Iterable[Worker], now: float) -> Task:
    return Task(
        id=f"m_{secrets.token_hex(10)}",
        kind="image",
        app=app,
        name=image.task_name,
        fingerprint=image.fingerprint,
        resource_class=image.choose_class(available),
        state="ready",
        spec=image.spec,
        created_at=now,
    )


async def _save_progress(conn: Connection, rollout: Rollout, progress: ImageProgress, now: float) -> Rollout | None:
    if not progress.is_complete:
        line = rollout_images.progress_line(progress)
        await _update(conn, rollout, steps=_with_step(rollout, "running", now, line), images=progress.images)
        return None
    steps = tuple(rollout.steps)
    if progress.images:
        steps = _with_step(rollout, "succeeded", now, rollout_images.result_line(progress.images))
    steps = (*steps, rollout_step("start", "running", now))
    catalog = rollout_images.pin_images(rollout.catalog, progress.images) if progress.images else rollout.catalog
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
