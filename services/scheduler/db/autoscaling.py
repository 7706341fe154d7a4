"""Rows of autoscaling: the scale of each component, and the load that each gateway reported last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from sqlalchemy import RowMapping, and_, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.scheduler.db.tables import autoscaling, load_reports
from services.scheduler.model.autoscaling import ScaleState, ScalingBounds

LOAD_TTL_S = 60.0
ComponentKey = tuple[str, str]
"""App and component."""


async def list_scaled_components(conn: AsyncConnection) -> dict[ComponentKey, tuple[ScalingBounds, ScaleState]]:
    rows = (await conn.execute(select(autoscaling))).mappings()
    return {
        (row["app"], row["component"]): (ScalingBounds.from_json(row["bounds"]), _scale_from_row(row)) for row in rows
    }


async def list_app_scales(conn: AsyncConnection, app: str) -> dict[str, ScaleState]:
    """The scales of the app, by component."""
    rows = (await conn.execute(select(autoscaling).where(autoscaling.c.app == app))).mappings()
    return {row["component"]: _scale_from_row(row) for row in rows}


def _scale_from_row(row: RowMapping) -> ScaleState:
    return ScaleState(row["replicas"], row["low_water_replicas"], row["below_since"])


async def replace_app_scales(
    conn: AsyncConnection, app: str, scaling: Mapping[str, tuple[ScalingBounds, ScaleState]]
) -> None:
    """Replace all scales of the app."""
    await conn.execute(delete(autoscaling).where(autoscaling.c.app == app))
    for component, (bounds, scale) in scaling.items():
        values = {"app": app, "component": component, "bounds": bounds.to_json(), **scale.to_row()}
        await conn.execute(autoscaling.insert().values(**values))


async def update_scale(conn: AsyncConnection, key: ComponentKey, scale: ScaleState) -> None:
    condition = and_(autoscaling.c.app == key[0], autoscaling.c.component == key[1])
    await conn.execute(update(autoscaling).where(condition).values(**scale.to_row()))


async def record_loads(
    conn: AsyncConnection, gateway: str, component_loads: Iterable[tuple[ComponentKey, float]], now: float
) -> None:
    """Insert or update the loads of one gateway, and delete expired ones, such as those of gateways that are gone."""
    await conn.execute(delete(load_reports).where(load_reports.c.reported_at < now - LOAD_TTL_S))
    for (app, component), load in component_loads:
        values = {"load": load, "reported_at": now}
        statement = upsert(conn, load_reports).values(app=app, component=component, gateway=gateway, **values)
        await conn.execute(statement.on_conflict_do_update(index_elements=["app", "component", "gateway"], set_=values))


async def get_total_loads(conn: AsyncConnection, since: float) -> dict[ComponentKey, float]:
    """The sum over all gateways of the loads reported after `since`."""
    totals: dict[ComponentKey, float] = defaultdict(float)
    for row in await conn.execute(select(load_reports).where(load_reports.c.reported_at >= since)):
        totals[row.app, row.component] += row.load
    return totals
