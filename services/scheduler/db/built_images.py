"""Rows of images that workers have built: one for each key and engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import delete as delete_rows
from sqlalchemy import or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from libs.common.protocol.image_inventory import EngineImage, ImageInventory
from services.scheduler.db.tables import apps, images, rollouts, tasks
from services.scheduler.model.built_image import BuiltImage
from services.scheduler.model.task import OPEN_STATES

KEPT_DEPLOYMENTS = 2
"""Of each app: the live one and the one before it."""


async def save(conn: AsyncConnection, app: str, built: BuiltImage, now: float) -> None:
    """A later image of the same key replaces the earlier one of its engine."""
    statement = upsert(conn, images)
    values = {"app": app, **vars(built), "built_at": now, "used_at": now}
    updates = {name: statement.excluded[name] for name in ("image", "log", "built_at", "used_at")}
    await conn.execute(
        statement.values(values).on_conflict_do_update(index_elements=["app", "key", "engine"], set_=updates)
    )


async def copy(conn: AsyncConnection, source: str, app: str, exact: Mapping[str, str], now: float) -> None:
    """Let an app run images that were built for another one; `exact`: those of a deployment, by key.

    The logs of their builds stay with `source`.
    """
    for built in await list_by_keys(conn, source, list(exact)):
        if built.image == exact[built.key]:
            await save(conn, app, replace(built, log=""), now)


async def list_by_keys(conn: AsyncConnection, app: str, keys: Sequence[str]) -> list[BuiltImage]:
    query = select(images.c.key, images.c.image, images.c.engine, images.c.log)
    query = query.where(images.c.app == app, images.c.key.in_(keys)).order_by(images.c.key, images.c.built_at)
    return [BuiltImage(**row) for row in (await conn.execute(query)).mappings()]


async def list_engines(conn: AsyncConnection, image_ids: Collection[str]) -> dict[str, frozenset[str]]:
    """The engines that have each of these images; those that were not built are left out."""
    if not image_ids:
        return {}
    query = select(images.c.image, images.c.engine).where(images.c.image.in_(list(image_ids)))
    rows = (await conn.execute(query)).all()
    return {row.image: frozenset(other.engine for other in rows if other.image == row.image) for row in rows}


async def mark_used(conn: AsyncConnection, app: str, keys: Sequence[str], now: float) -> None:
    if keys:
        used = update(images).where(images.c.app == app, images.c.key.in_(keys))
        await conn.execute(used.values(used_at=now))


async def list_apps(conn: AsyncConnection, inventory: ImageInventory) -> set[str]:
    """The apps for which images of an engine were built, or to which they were promoted."""
    query = select(images.c.app).where(images.c.image.in_([image.image for image in inventory.images])).distinct()
    return {image.app for image in inventory.images} | set((await conn.execute(query)).scalars())


async def list_needed(conn: AsyncConnection, names: Collection[str]) -> frozenset[str]:
    """Images and keys of builds that something of these apps runs or may run: of open rollouts, of the live deployment
    and of the one before it, and of open tasks."""
    needed: set[str] = set()
    query = select(rollouts.c.app, rollouts.c.status, rollouts.c.images).where(
        rollouts.c.app.in_(list(names)),
        rollouts.c.app.in_(select(apps.c.name)),
        rollouts.c.status.in_(("live", "starting")),
    )
    query = query.order_by(rollouts.c.created_at.desc())
    live_count = dict.fromkeys(names, 0)
    for row in await conn.execute(query):
        live_count[row.app] += row.status == "live"
        if row.status == "starting" or live_count[row.app] <= KEPT_DEPLOYMENTS:
            needed |= {*(row.images or {}), *(row.images or {}).values()}
    of_tasks = select(tasks.c.image, tasks.c.fingerprint, tasks.c.kind).where(
        tasks.c.app.in_(list(names)), or_(tasks.c.image.is_not(None), tasks.c.kind == "build")
    )
    for task in await conn.execute(of_tasks.where(tasks.c.state.in_(OPEN_STATES) | (tasks.c.kind == "build"))):
        needed.add(task.fingerprint if task.kind == "build" else task.image)
    return frozenset(needed)


async def list_last_uses(conn: AsyncConnection, engine: str) -> dict[tuple[str, str], float]:
    """When a deployment last named an image that this engine, or an image registry, has; by app and key."""
    query = select(images.c.app, images.c.key, images.c.used_at).where(images.c.engine.in_((engine, "")))
    return {(row.app, row.key): row.used_at for row in await conn.execute(query)}


async def forget(conn: AsyncConnection, app: str, image: str) -> None:
    """Forget an image of the app that could not be had where it should be; every app to which it was promoted, too."""
    of_app = select(images.c.image).where(images.c.app == app, images.c.image == image)
    await conn.execute(delete_rows(images).where(images.c.image.in_(of_app.scalar_subquery())))


async def delete(conn: AsyncConnection, engine: str, removed: Sequence[EngineImage]) -> None:
    """Forget images of an engine, with the apps to which they were promoted; those in an image registry stay."""
    if removed:
        built = tuple_(images.c.app, images.c.key).in_([(image.app, image.key) for image in removed])
        promoted = tuple_(images.c.key, images.c.image).in_([(image.key, image.image) for image in removed])
        await conn.execute(delete_rows(images).where(images.c.engine == engine, built | promoted))
