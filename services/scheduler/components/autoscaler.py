"""The autoscaler: reads the load of components, decides how many instances each should have, and writes that."""

from __future__ import annotations

from libs.common.db import Database, database_time
from services.scheduler.components import load_reports, replica_calculator
from services.scheduler.db import autoscaling


async def update_scaling(db: Database, *, silence_is_idle: bool) -> set[str] | None:
    """Run the autoscaler. Returns the apps whose replica counts changed; None if no component scales."""
    async with db.read() as conn:
        now = await database_time(conn)
        scaling = await autoscaling.list_scaled_components(conn)
        if not scaling:
            return None
        loads = await autoscaling.get_total_loads(conn, now - load_reports.LOAD_FRESH_S)
    decisions = {
        name: replica_calculator.decide_replicas(scale, bounds, loads.get(name), now, silence_is_idle=silence_is_idle)
        for name, (bounds, scale) in scaling.items()
    }
    changes = {name: scale for name, scale in decisions.items() if scale != scaling[name][1]}
    if changes:
        async with db.write() as conn:
            for name, scale in changes.items():
                await autoscaling.update_scale(conn, name, scale)
    return {name[0] for name, scale in changes.items() if scale.replicas != scaling[name][1].replicas}
