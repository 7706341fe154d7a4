"""Rows of the components whose number of instances changes, and of the load that gateways tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from sqlalchemy import RowMapping, and_, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.scheduler.components.autoscaler import Bounds, Scale
from services.scheduler.db.tables import loads, scales

FORGOTTEN_S = 60.0
Name = tuple[str, str]
"""App and component."""


async def listed(c: AsyncConnection) -> dict[Name, tuple[Bounds, Scale]]:
    rows = (await c.execute(select(scales))).mappings()
    return {(row["app"], row["component"]): (Bounds.from_json(row["bounds"]), _scale(row)) for row in rows}


async def of_app(c: AsyncConnection, app: str) -> dict[str, Scale]:
    """By component."""
    rows = (await c.execute(select(scales).where(scales.c.app == app))).mappings()
    return {row["component"]: _scale(row) for row in rows}


def _scale(row: RowMapping) -> Scale:
    return Scale(row["replicas"], row["enough"], row["quiet_since"])


async def put(c: AsyncConnection, app: str, wanted: Mapping[str, tuple[Bounds, Scale]]) -> None:
    """These components of the app, and no others."""
    await c.execute(delete(scales).where(scales.c.app == app))
    for component, (bounds, scale) in wanted.items():
        values = {"app": app, "component": component, "bounds": bounds.to_json(), **scale.__dict__}
        await c.execute(scales.insert().values(**values))


async def change(c: AsyncConnection, name: Name, scale: Scale) -> None:
    mine = and_(scales.c.app == name[0], scales.c.component == name[1])
    await c.execute(update(scales).where(mine).values(**scale.__dict__))


async def heard(c: AsyncConnection, gateway: str, said: Iterable[tuple[Name, float]], now: float) -> None:
    """Noted; what was said long ago, perhaps by one that is no more, is forgotten."""
    await c.execute(delete(loads).where(loads.c.at < now - FORGOTTEN_S))
    for (app, component), load in said:
        values = {"load": load, "at": now}
        added = upsert(c, loads).values(app=app, component=component, gateway=gateway, **values)
        await c.execute(added.on_conflict_do_update(index_elements=["app", "component", "gateway"], set_=values))


async def load(c: AsyncConnection, since: float) -> dict[Name, float]:
    """The load of all gateways together by what they said after `since`."""
    found: dict[Name, float] = defaultdict(float)
    for row in await c.execute(select(loads).where(loads.c.at >= since)):
        found[row.app, row.component] += row.load
    return found
