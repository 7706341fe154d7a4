"""What a worker says of what it holds, which keeps its leases, and the orders that answer it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field, FiniteFloat

from libs.common.db import clock
from libs.common.http.tolerant_list import Each, Keepable
from libs.common.log import get
from services.scheduler import notifications
from services.scheduler.components import reconciler
from services.scheduler.db import Connection, runs, tasks, workers
from services.scheduler.dependencies import Parts
from services.scheduler.model.state import Task
from services.scheduler.tasks.leases import Wire

MAX_WAIT_S = 30.0
STOP_CHECK_S = 0.5
"""How often a long poll looks at a stop that is due later, or was ordered through another scheduler."""


class Endpoint(Wire):
    host: str = Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9.:_%-]+$")
    port: int = Field(ge=1, le=65535)


class Have(Wire):
    task: str = Field(max_length=64)
    token: int = Field(ge=0, lt=1 << 63)
    state: str = Field(pattern=r"^[a-z_]{1,16}$")
    detail: str | None = None
    progress: tuple[FiniteFloat, FiniteFloat] | None = None
    endpoint: Endpoint | None = None
    openapi: Keepable | None = None
    model_etag: str | None = None


class Sync(Wire):
    host: str = ""
    classes: tuple[str, ...] = ("cpu",)
    slots: int = 0
    free: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    draining: bool = False
    wait: float = 0.0
    have: Each[Have] = ()


async def sync(parts: Parts, worker: str, said: Sync) -> dict[str, Any]:
    """Renew what the worker holds, note its news, answer with its orders: at once if any, else within `wait` s."""
    with parts.bells.listen(notifications.worker(worker)) as bell:
        gone, orders, pending = await _heard(parts, worker, said)
        left = 0.0 if gone else min(said.wait, MAX_WAIT_S)
        while left > 0 and not orders["stop"] and orders["drain"] == said.draining:
            pause = min(left, STOP_CHECK_S if pending else left)
            if await bell.wait(pause) and parts.bells.closed:
                break
            left -= pause
            orders, pending = await _orders(parts, worker)
    return {**orders, "gone": gone, "lease_seconds": parts.settings.lease}


async def _heard(parts: Parts, worker: str, said: Sync) -> tuple[list[dict[str, Any]], dict[str, Any], bool]:
    touched: set[str] = set()
    apps: set[str] = set()
    async with parts.db.write() as c:
        now = await clock(c)
        own = {name: getattr(said, name) for name in ("host", "slots", "free", "labels")}
        drains = await workers.seen(c, {"name": worker, "classes": list(said.classes), "seen_at": now, **own})
        held = {task.id: task for task in await tasks.held_by(c, worker)}
        until = now + parts.settings.lease
        gone, renewed, kept = [], {}, {}
        for have in said.have:
            task = held.get(have.task)
            if task is None or task.token != have.token:
                gone.append({"task": have.task, "token": have.token})
                continue
            changed = news(task, have)
            if not changed:
                renewed[task.id] = task
                continue
            kept[task.id] = task, {**changed, "lease_until": until}
            if task.run:
                touched.add(task.run)
            else:
                apps.add(task.app)
        if touched:
            await runs.touch(c, touched)
        await tasks.renew(c, [renewed[identity] for identity in sorted(renewed)], until)
        await tasks.heard(c, [kept[identity] for identity in sorted(kept)])
        routed = [app for app in sorted(apps) if await _routed(c, app)]
        orders, pending = ordered(held.values(), now, drains=drains)
    if routed:
        parts.bells.ring(notifications.TABLE)
    for run in touched:
        parts.bells.ring(notifications.run(run))
    for app in apps:
        parts.wakes.converge(app)
    return gone, orders, pending


async def _routed(c: Connection, app: str) -> bool:
    """Whether the app's routes changed. One whose manifests cannot be read costs nobody else a lease."""
    try:
        return await reconciler.route(c, app)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        get("scheduler").error("routes are left as they were", app=app, exc_info=error)
        return False


def news(task: Task, have: Have) -> dict[str, Any]:
    """The columns of a task that its worker's words change."""
    said: dict[str, Any] = {
        "phase": have.state,
        "detail": (have.detail or "").replace("\0", "\ufffd")[:1000] or None,
        "progress": list(have.progress) if have.progress else None,
    }
    if task.kind == "instance":
        said["endpoint"] = have.endpoint.model_dump() if have.endpoint else task.endpoint
        said["openapi"] = have.openapi or task.openapi
        if have.state == "healthy" and task.failures:
            said["failures"] = 0
    return {name: value for name, value in said.items() if getattr(task, name) != value}


async def _orders(parts: Parts, worker: str) -> tuple[dict[str, Any], bool]:
    async with parts.db.read() as c:
        drains, now = await workers.draining(c, worker)
        return ordered(await tasks.stopping(c, worker), now, drains=drains)


def ordered(held: Iterable[Task], now: float, *, drains: bool) -> tuple[dict[str, Any], bool]:
    """The orders, and whether a stop is due later."""
    stopping = [task for task in held if task.stop]
    due = [task for task in stopping if task.stop_after is None or task.stop_after <= now]
    stop = [{"task": task.id, "token": task.token} for task in due]
    return {"stop": stop, "drain": drains}, len(due) < len(stopping)
