"""Removal of an app: its routes, schedules, instances and open runs."""

from __future__ import annotations

from libs.common.db import Database, database_time
from services.scheduler import long_poll_notifier
from services.scheduler.components import image_resolver
from services.scheduler.db import apps, autoscaling, image_tasks, route_table, tasks
from services.scheduler.db import runs as run_rows
from services.scheduler.db import schedules as schedule_rows
from services.scheduler.live_catalog_cache import LiveCatalogCache
from services.scheduler.runs import cancel_retry
from services.scheduler.tasks.transition_applier import TransitionApplier


async def remove_app(db: Database, catalogs: LiveCatalogCache, applier: TransitionApplier, name: str) -> None:
    """Delete an app's routes and schedules, stop its instances, cancel its runs."""
    async with db.write() as conn:
        now = await database_time(conn)
        await apps.remove(conn, name)
        catalogs.invalidate(name)
        await route_table.save_app_routes(conn, name, None)
        await autoscaling.replace_app_scales(conn, name, {})
        await schedule_rows.remove_schedules(conn, name)
        for task in await tasks.list_instances(conn, name):
            stopped = {"state": "stopped", "finished_at": now}
            columns = {"stop_requested": True, "stop_at": None} if task.state == "claimed" else stopped
            await tasks.update_task(conn, task.id, columns)
        await image_resolver.stop_tasks(conn, await image_tasks.lock_by_app(conn, name))
        open_runs = await run_rows.list_open_runs(conn, name)
    for run in open_runs:
        await cancel_retry.cancel_if_open(db, applier, name, run.id)
    applier.notifier.notify(long_poll_notifier.ROUTE_TABLE)
