"""Heartbeats: a worker reports the tasks that it holds, which renews their leases, and gets orders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field, FiniteFloat

from libs.common.db import database_time
from libs.common.http.tolerant_list import StorableObject, TolerantList
from libs.common.log import get
from libs.common.protocol.message import Message
from services.scheduler import notifications
from services.scheduler.components import reconciler
from services.scheduler.db import Connection, runs, tasks, workers
from services.scheduler.dependencies import Dependencies
from services.scheduler.model.task import Task

MAX_POLL_S = 30.0
STOP_CHECK_S = 0.5
"""How often a long poll reads the database for a stop that is due later or came through another scheduler."""


class InstanceEndpoint(Message):
    """Where an instance listens."""

    host: str = Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9.:_%-]+$")
    port: int = Field(ge=1, le=65535)


class TaskStatus(Message):
    """What the worker knows about one task."""

    task: str = Field(max_length=64)
    token: int = Field(ge=0, lt=1 << 63)
    state: str = Field(pattern=r"^[a-z_]{1,16}$")
    detail: str | None = None
    progress: tuple[FiniteFloat, FiniteFloat] | None = None
    endpoint: InstanceEndpoint | None = None
    openapi: StorableObject | None = None
    model_etag: str | None = None


class Heartbeat(Message):
    """The worker's capacity, and the status of its tasks in `have`."""

    host: str = ""
    classes: tuple[str, ...] = ("cpu",)
    slots: int = 0
    free: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    draining: bool = False
    wait: float = 0.0
    have: TolerantList[TaskStatus] = ()


async def handle_heartbeat(deps: Dependencies, worker: str, heartbeat: Heartbeat) -> dict[str, Any]:
    """Renew leases, save changes, and return orders: at once when there are any, else after up to `wait` seconds."""
    with deps.notifier.subscribe(notifications.worker_orders(worker)) as subscription:
        revoked, orders, pending = await _renew_leases(deps, worker, heartbeat)
        remaining = 0.0 if revoked else min(heartbeat.wait, MAX_POLL_S)
        while remaining > 0 and not orders["stop"] and orders["drain"] == heartbeat.draining:
            pause = min(remaining, STOP_CHECK_S if pending else remaining)
            if await subscription.wait(pause) and deps.notifier.closed:
                break
            remaining -= pause
            orders, pending = await _pending_orders(deps, worker)
    return {**orders, "gone": revoked, "lease_seconds": deps.settings.lease}


async def _renew_leases(
    deps: Dependencies, worker: str, heartbeat: Heartbeat
) -> tuple[list[dict[str, Any]], dict[str, Any], bool]:
    changed_runs: set[str] = set()
    changed_apps: set[str] = set()
    async with deps.db.write() as conn:
        now = await database_time(conn)
        reported = {name: getattr(heartbeat, name) for name in ("host", "slots", "free", "labels")}
        draining = await workers.upsert_worker(
            conn, {"name": worker, "classes": list(heartbeat.classes), "seen_at": now, **reported}
        )
        claimed = {task.id: task for task in await tasks.list_claimed_by(conn, worker)}
        until = now + deps.settings.lease
        revoked, renewed, updates = [], {}, {}
        for status in heartbeat.have:
            task = claimed.get(status.task)
            if task is None or task.token != status.token:
                revoked.append({"task": status.task, "token": status.token})
                continue
            changed = changed_columns(task, status)
            if not changed:
                renewed[task.id] = task
                continue
            updates[task.id] = task, {**changed, "lease_until": until}
            if task.run:
                changed_runs.add(task.run)
            else:
                changed_apps.add(task.app)
        if changed_runs:
            await runs.bump_versions(conn, changed_runs)
        await tasks.renew_leases(conn, [renewed[identity] for identity in sorted(renewed)], until)
        await tasks.update_from_heartbeat(conn, [updates[identity] for identity in sorted(updates)])
        rerouted_apps = [app for app in sorted(changed_apps) if await _update_routes(conn, app)]
        orders, pending = build_orders(claimed.values(), now, draining=draining)
    if rerouted_apps:
        deps.notifier.notify(notifications.ROUTE_TABLE)
    for run in changed_runs:
        deps.notifier.notify(notifications.run_changed(run))
    for app in changed_apps:
        deps.triggers.reconcile(app)
    return revoked, orders, pending


async def _update_routes(conn: Connection, app: str) -> bool:
    """Whether the app's routes have changed. An app with invalid manifests must not cost other tasks their lease."""
    try:
        return await reconciler.update_routes(conn, app)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        get("scheduler").error("failed to update routes; keeping the old ones", app=app, exc_info=error)
        return False


def changed_columns(task: Task, status: TaskStatus) -> dict[str, Any]:
    """The columns of a task that differ from its reported status."""
    reported: dict[str, Any] = {
        "phase": status.state,
        "detail": (status.detail or "").replace("\0", "\ufffd")[:1000] or None,
        "progress": list(status.progress) if status.progress else None,
    }
    if task.kind == "instance":
        reported["endpoint"] = status.endpoint.model_dump() if status.endpoint else task.endpoint
        reported["openapi"] = status.openapi or task.openapi
        if status.state == "healthy" and task.failures:
            reported["failures"] = 0
    return {name: value for name, value in reported.items() if getattr(task, name) != value}


async def _pending_orders(deps: Dependencies, worker: str) -> tuple[dict[str, Any], bool]:
    async with deps.db.read() as conn:
        draining, now = await workers.get_draining(conn, worker)
        return build_orders(await tasks.list_stopping(conn, worker), now, draining=draining)


def build_orders(claimed: Iterable[Task], now: float, *, draining: bool) -> tuple[dict[str, Any], bool]:
    """The orders, and whether a stop becomes due later."""
    stopping = [task for task in claimed if task.stop]
    due = [task for task in stopping if task.stop_after is None or task.stop_after <= now]
    stop = [{"task": task.id, "token": task.token} for task in due]
    return {"stop": stop, "drain": draining}, len(due) < len(stopping)
