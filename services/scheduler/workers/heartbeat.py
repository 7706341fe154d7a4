"""Heartbeats: a worker reports the tasks that it holds, which renews their leases, and gets orders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from libs.common.db import Database
from libs.common.log import get
from libs.common.protocol.heartbeat import Heartbeat, HeartbeatResponse, TaskRef, TaskStatus
from services.scheduler import long_poll_notifier
from services.scheduler.components import route_writer, warm_instances
from services.scheduler.db import Connection, runs, tasks, workers
from services.scheduler.model.task import Task
from services.scheduler.tasks.transition_applier import TransitionApplier
from services.scheduler.tasks.transitions import ColumnUpdates

MAX_POLL_S = 30.0
STOP_CHECK_S = 0.5
"""The shortest pause until a long poll reads the database again, for a stop that is due later."""


@dataclass(frozen=True)
class WorkerOrders:
    """What a worker has to do now."""

    stop: tuple[TaskRef, ...]
    draining: bool
    next_stop_in: float | None
    """Seconds until the next stop that is not due yet."""


async def handle_heartbeat(
    db: Database, applier: TransitionApplier, lease: float, worker: str, heartbeat: Heartbeat
) -> HeartbeatResponse:
    """Renew leases for `lease` seconds, save changes, and return orders: after up to `wait` seconds without any."""
    with applier.notifier.subscribe(long_poll_notifier.worker_orders(worker)) as subscription:
        revoked, orders = await _renew_leases(db, applier, lease, worker, heartbeat)
        remaining = 0.0 if revoked else min(heartbeat.wait, MAX_POLL_S)
        while remaining > 0 and not orders.stop and orders.draining == heartbeat.draining:
            next_stop = remaining if orders.next_stop_in is None else max(STOP_CHECK_S, orders.next_stop_in)
            pause = min(remaining, next_stop)
            is_notified = await subscription.wait(pause)
            remaining -= pause
            if applier.notifier.closed or (not is_notified and remaining <= 0):
                break  # without new orders: the next heartbeat reads the database at once
            orders = await _pending_orders(db, worker)
    return HeartbeatResponse(lease_seconds=lease, drain=orders.draining, stop=orders.stop, revoked=tuple(revoked))


async def _renew_leases(
    db: Database, applier: TransitionApplier, lease: float, worker: str, heartbeat: Heartbeat
) -> tuple[list[TaskRef], WorkerOrders]:
    changed_runs: set[str] = set()
    changed_apps: set[str] = set()
    async with db.write() as conn:
        reported = {name: getattr(heartbeat, name) for name in ("host", "slots", "free", "labels")}
        draining, now = await workers.upsert_worker(
            conn,
            {
                "name": worker,
                "classes": list(heartbeat.classes),
                "kinds": list(heartbeat.kinds),
                "engine": heartbeat.engine,
                **reported,
            },
        )
        claimed = {task.id: task for task in await tasks.list_claimed_by(conn, worker)}
        if heartbeat.memory_low:
            claimed = await _stop_warm(conn, claimed, now)
        until = now + lease
        revoked: list[TaskRef] = []
        unchanged: list[Task] = []
        updates = {}
        for status in heartbeat.tasks:
            task = claimed.get(status.task)
            if task is None or task.token != status.token:
                revoked.append(TaskRef(task=status.task, token=status.token))
                continue
            changed = changed_columns(task, status)
            if not changed:
                unchanged.append(task)
                continue
            updates[task.id] = task, {**changed, "lease_until": until}
            if task.run:
                changed_runs.add(task.run)
            else:
                changed_apps.add(task.app)
        if changed_runs:
            await runs.bump_versions(conn, changed_runs)
        await tasks.renew_leases(conn, unchanged, until)
        await tasks.update_from_heartbeat(conn, [updates[task_id] for task_id in sorted(updates)])
        rerouted_apps = [app for app in sorted(changed_apps) if await _update_routes(conn, app)]
        orders = build_orders(claimed.values(), now, draining=draining)
    applier.notify_heartbeat(changed_runs, changed_apps, routes_changed=bool(rerouted_apps))
    return revoked, orders


async def _stop_warm(conn: Connection, claimed: Mapping[str, Task], now: float) -> dict[str, Task]:
    """Make the stops of warm instances due. Returns all tasks afterwards."""
    warm = {task.id for task in claimed.values() if warm_instances.is_warm(task, now)}
    for task_id in warm:
        await tasks.update_task(conn, task_id, {"stop_at": now})
    return {name: replace(task, stop_at=now) if name in warm else task for name, task in claimed.items()}


async def _update_routes(conn: Connection, app: str) -> bool:
    """Whether the app's routes have changed. An app with invalid manifests must not cost other tasks their lease."""
    try:
        return await route_writer.update_routes(conn, app)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        get("scheduler").error("failed to update routes; keeping the old ones", app=app, exc_info=error)
        return False


def changed_columns(task: Task, status: TaskStatus) -> ColumnUpdates:
    """The columns of a task that differ from its reported status."""
    reported: ColumnUpdates = {
        "phase": status.state,
        "detail": (status.detail or "").replace("\0", "\ufffd")[:1000] or None,
        "progress": list(status.progress) if status.progress else None,
    }
    if task.kind == "instance":
        reported["endpoint"] = status.endpoint or task.endpoint
        reported["openapi"] = status.openapi or task.openapi
        if status.state == "healthy" and task.failures:
            reported["failures"] = 0
    return {name: value for name, value in reported.items() if getattr(task, name) != value}


async def _pending_orders(db: Database, worker: str) -> WorkerOrders:
    async with db.read() as conn:
        draining, now = await workers.get_draining(conn, worker)
        return build_orders(await tasks.list_stopping(conn, worker), now, draining=draining)


def build_orders(claimed: Iterable[Task], now: float, *, draining: bool) -> WorkerOrders:
    """Stops that are due now, and when others become due."""
    stopping = [task for task in claimed if task.stop_requested]
    due = [task for task in stopping if task.stop_at is None or task.stop_at <= now]
    stop = tuple(TaskRef(task=task.id, token=task.token) for task in due)
    later = [task.stop_at - now for task in stopping if task.stop_at is not None and task.stop_at > now]
    return WorkerOrders(stop, draining, next_stop_in=min(later, default=None))
