"""Rows of rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from libs.common.protocol.deployment import DeploymentReport
from services.scheduler.db.tables import rollouts
from services.scheduler.model.rollout import Rollout

REPORTED_LISTS = ("steps", "errors", "warnings")
REPORTED = ("status", *REPORTED_LISTS)


async def add_rollout(conn: AsyncConnection, rollout: Rollout) -> bool:
    """False when the rollout exists already."""
    statement = upsert(conn, rollouts).values(_to_columns(rollout.__dict__))
    return bool((await conn.execute(statement.on_conflict_do_nothing(index_elements=["deployment"]))).rowcount)


async def list_active_rollouts(conn: AsyncConnection, app: str | None = None) -> list[Rollout]:
    """Rollouts in status `starting`, oldest first."""
    query = (
        select(rollouts).where(rollouts.c.status == "starting").order_by(rollouts.c.created_at, rollouts.c.deployment)
    )
    if app is not None:
        query = query.where(rollouts.c.app == app)
    return [_to_rollout(row) for row in (await conn.execute(query)).mappings()]


async def list_unreported_rollouts(conn: AsyncConnection) -> list[Rollout]:
    query = select(rollouts).where(rollouts.c.reported.is_(False)).order_by(rollouts.c.created_at)
    return [_to_rollout(row) for row in (await conn.execute(query)).mappings()]


async def get_images(conn: AsyncConnection, app: str, deployment: str) -> dict[str, str]:
    """The exact images of a deployment of the app; none when they were never asked for."""
    query = select(rollouts.c.images).where(rollouts.c.app == app, rollouts.c.deployment == deployment)
    return (await conn.execute(query)).scalar() or {}


async def get_builds(conn: AsyncConnection, app: str, deployment: str) -> dict[str, str]:
    """The names of the logs of a deployment's builds, by component or `pipeline.stage`."""
    query = select(rollouts.c.builds).where(rollouts.c.app == app, rollouts.c.deployment == deployment)
    return (await conn.execute(query)).scalar() or {}


async def update_rollout(conn: AsyncConnection, deployment: str, columns: Mapping[str, Any]) -> None:
    await conn.execute(update(rollouts).where(rollouts.c.deployment == deployment).values(_to_columns(columns)))


async def mark_rollout_reported(conn: AsyncConnection, rollout: Rollout) -> None:
    """Mark the rollout as reported, unless it has changed since `rollout` was read."""
    conditions = (rollouts.c.deployment == rollout.deployment, rollouts.c.status == rollout.status)
    row = (await conn.execute(select(rollouts.c.steps).where(*conditions).with_for_update())).first()
    if row is not None and row[0] == _to_columns({"steps": rollout.steps})["steps"]:
        await conn.execute(update(rollouts).where(*conditions).values(reported=True))


def _to_rollout(row: RowMapping) -> Rollout:
    report = DeploymentReport.model_validate({name: row[name] for name in REPORTED})
    lists = {"steps": report.steps, "errors": report.errors, "warnings": report.warnings}
    return Rollout(**{**row, **lists, "images": row["images"] or {}, "builds": row["builds"] or {}})


def _to_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    lists = {name: [entry.to_json() for entry in values[name]] for name in REPORTED_LISTS if name in values}
    return {**values, **lists}
