"""Load reports of gateways, and the replica counts that the autoscaler derives from them."""

from __future__ import annotations

from libs.common.db import Database, database_time
from libs.common.protocol.load_report import LoadReport
from services.scheduler.components import replica_calculator
from services.scheduler.db import autoscaling
from services.scheduler.loop_triggers import LoopTriggers

LOAD_FRESH_S = 3.0
"""How long a load report counts; gateways send one every second while there are calls."""


async def record_load_report(db: Database, triggers: LoopTriggers, report: LoadReport) -> None:
    async with db.write() as conn:
        loads = [((item.app, item.component), item.load) for item in report.loads]
        await autoscaling.record_loads(conn, report.gateway, loads, await database_time(conn))
    triggers.report_load()


async def update_scaling(db: Database, *, silence_is_idle: bool) -> set[str] | None:
    """Run the autoscaler. Returns the apps whose replica counts changed; None if no component scales."""
    async with db.read() as conn:
        now = await database_time(conn)
        scaling = await autoscaling.list_scaled_components(conn)
        if not scaling:
            return None
        loads = await autoscaling.get_total_loads(conn, now - LOAD_FRESH_S)
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
