"""Takes in the load reports of gateways, for the autoscaler."""

from __future__ import annotations

from libs.common.db import Database, database_time
from libs.common.protocol.load_report import LoadReport
from services.scheduler.db import autoscaling
from services.scheduler.loop_triggers import LoopTriggers

LOAD_FRESH_S = 3.0
"""How long a load report counts; gateways send one every second while there are calls."""


async def record_load_report(db: Database, triggers: LoopTriggers, report: LoadReport) -> None:
    async with db.write() as conn:
        loads = [((item.app, item.component), item.load) for item in report.loads]
        await autoscaling.record_loads(conn, report.gateway, loads, await database_time(conn))
    triggers.autoscaler.wake()
