"""Brings what runs of an app to what its manifests say, and its routes with it: all at once, or not at all.

A rollout starts what is new beside what is live. When every new instance is healthy (or waits for something that is not
the rollout's, such as a model) one transaction makes the revision live and writes the routes; otherwise the new
instances go.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from libs.common.db import clock
from libs.common.locations import Location
from libs.common.manifests.catalog import Catalog
from services.scheduler import notifications
from services.scheduler.components import autoscaler, desired, rollout_reporter, route_table
from services.scheduler.components.desired import Fleet
from services.scheduler.db import Connection, apps, autoscaling, routes, tasks, workers
from services.scheduler.db import rollouts as rollout_rows
from services.scheduler.db import runs as rows
from services.scheduler.db import schedules as schedule_rows
from services.scheduler.dependencies import Parts
from services.scheduler.model.app import App
from services.scheduler.model.reason import reason
from services.scheduler.model.rollout import Rollout
from services.scheduler.model.task import Task
from services.scheduler.runs import queries, schedules

MODEL_CHECK = "checking_model"
LOG_LINES = 20


async def converge(parts: Parts, name: str) -> None:
    """One step for one app. Raises Unavailable when a service it needs is away; repeating it is harmless."""
    rollout = await _prepare(parts, name)
    async with parts.db.write() as c:
        await _start_and_stop(c, name, rollout)
    parts.wakes.relay()  # a call may wait for what was added
    await _check_models(parts, name)
    async with parts.db.write() as c:
        changed = await judge(c, name)
    parts.wakes.relay()
    if changed:
        parts.catalogs.forget(name)
        parts.bells.ring(notifications.TABLE)
        await declare_boxes(parts, name, [])
    await rollout_reporter.tell(parts)


async def _prepare(parts: Parts, name: str) -> Rollout | None:
    """The rollout to work on: the newest one, its boxes made. Older ones are superseded."""
    async with parts.db.read() as c:
        open_rollouts = await rollout_rows.list_active_rollouts(c, name)
    if open_rollouts[1:]:
        async with parts.db.write() as c:
            for old in open_rollouts[:-1]:
                await rollout_rows.update_rollout(c, old.deployment, {"status": "superseded", "reported": False})
    newest = open_rollouts[-1] if open_rollouts else None
    if newest is not None and not newest.steps:
        await declare_boxes(parts, name, [Catalog.from_json(newest.catalog)])
        async with parts.db.write() as c:
            now = await clock(c)
            steps = [step("boxes", "succeeded", now, finished=now), step("start", "running", now)]
            await rollout_rows.update_rollout(c, newest.deployment, {"steps": steps, "reported": False})
            newest = replace(newest, steps=steps)
    return newest


def step(name: str, status: str, started: float, *, finished: float | None = None, detail: str = "") -> dict[str, Any]:
    return {"name": name, "status": status, "detail": detail, "started_at": started, "finished_at": finished}


async def declare_boxes(parts: Parts, name: str, more: Iterable[Catalog]) -> None:
    """The live boxes and those of `more`; a box that is in neither is detached, its data kept."""
    async with parts.db.read() as c:
        app = await apps.get(c, name)
    catalogs = ([Catalog.from_json(app.catalog)] if app and app.catalog else []) + list(more)
    boxes = {
        box: {"capacity": found.spec.s3_default_storage.capacity}
        for catalog in catalogs
        for box, found in catalog.boxes.items()
    }
    await parts.peers.databox.put(f"/internal/apps/{name}/boxes", {"boxes": boxes})


async def restart(parts: Parts, name: str, component: str) -> None:
    """Start the instances of a component anew, with the model as it is now.

    One that serves goes on until the new one is healthy; one that does not is stopped at once.
    """
    async with parts.db.write() as c:
        present = [task for task in await tasks.list_instances(c, name) if task.name == component and not task.stop]
        for task in (task for task in present if task.is_healthy):
            await tasks.update_task(c, task.id, {"spec": {**task.spec, desired.ANEW: True}})
        await _stop(c, [task for task in present if not task.is_healthy], await clock(c))
    parts.wakes.converge(name)


async def _start_and_stop(c: Connection, name: str, rollout: Rollout | None) -> None:
    """Add the instances that are missing, order the stop of those that nobody wants."""
    now = await clock(c)
    fleet = await _fleet(c, name)
    wanted = fleet.live + (fleet.new(rollout) if rollout else [])
    missing = desired.missing(_once(wanted), fleet.present, fleet.leaving)
    await tasks.add(c, [_row(name, one, now) for one in missing])
    await _stop(c, desired.surplus(wanted, fleet.present, fleet.leaving), now)


async def _stop(c: Connection, needless: Iterable[Task], now: float) -> None:
    for task in needless:
        if task.state == "claimed":
            later = now + desired.DRAIN_S if task.is_healthy else None
            await tasks.update_task(c, task.id, {"stop": True, "stop_after": later})
        else:
            await tasks.update_task(c, task.id, {"state": "stopped", "finished_at": now})


async def _fleet(c: Connection, name: str) -> Fleet:
    app = await apps.get(c, name) or App(name=name)
    alive = await workers.list_alive(c, await clock(c))
    return Fleet(app, await autoscaling.list_app_scales(c, name), await tasks.list_instances(c, name), alive)


def _once(wanted: Iterable[desired.Wanted]) -> list[desired.Wanted]:
    return list({one.key: one for one in wanted}.values())


def _row(app: str, one: desired.Wanted, now: float) -> dict[str, Any]:
    waits = one.spec["model"] is not None
    task = Task(
        id=f"i_{secrets.token_hex(10)}",
        kind="instance",
        app=app,
        name=one.name,
        replica=one.replica,
        fingerprint=one.fingerprint,
        resource_class=one.resource_class,
        state="waiting" if waits else "ready",
        reason=reason(MODEL_CHECK) if waits else None,
        spec=dict(one.spec),
        created_at=now,
    )
    return task.__dict__


async def _check_models(parts: Parts, name: str) -> None:
    """Let instances start whose model has appeared."""
    async with parts.db.read() as c:
        waiting = [task for task in await tasks.list_instances(c, name) if needs_model(task)]
    if not waiting:
        return
    places = [task.spec["model"] for task in waiting]
    answer = await parts.peers.databox.post(f"/internal/apps/{name}/sources", {"locations": places, "links": False})
    async with parts.db.write() as c:
        for task, files in zip(waiting, answer["sources"], strict=True):
            there = {"state": "ready", "reason": None, "not_before": None}
            missing = {"reason": reason("model_missing", str(Location(**task.spec["model"])))}
            fresh = await tasks.get(c, task.id)
            if fresh is not None and fresh.state == "waiting":
                await tasks.update_task(c, task.id, there if files else missing)


def needs_model(task: Task) -> bool:
    """Whether it waits for a model and not for the end of a back-off."""
    return task.state == "waiting" and task.not_before is None and task.spec["model"] is not None


async def judge(c: Connection, name: str) -> bool:
    """End the rollout if it can be, write the routes. Whether a revision went live or the routes changed."""
    fleet = await _fleet(c, name)
    rollouts = await rollout_rows.list_active_rollouts(c, name)
    if rollouts and rollouts[-1].steps:  # one that came in a moment ago has not been prepared
        fleet = await _judge_rollout(c, fleet, rollouts[-1], await clock(c))
    return await _route(c, fleet)


async def route(c: Connection, name: str) -> bool:
    """Write the routes of what is live as its instances are now. Whether they changed."""
    return await _route(c, await _fleet(c, name))


async def _route(c: Connection, fleet: Fleet) -> bool:
    """Written from a look that was taken when nobody else could write: a heartbeat may have come in between."""
    if fleet.app.catalog is None:
        return False
    before = await routes.get_app_routes(c, fleet.app.name)
    if _document(fleet, before) == before:
        return False
    await routes.lock_route_table(c)
    fleet = await _fleet(c, fleet.app.name)
    if fleet.app.catalog is None:
        return False
    fresh = _document(fleet, await routes.get_app_routes(c, fleet.app.name))
    return await routes.save_app_routes(c, fleet.app.name, fresh)


def _document(fleet: Fleet, before: dict[str, Any]) -> dict[str, Any]:
    app, mine = fleet.app, desired.of(fleet.live, fleet.present)
    return route_table.document(Catalog.from_json(app.catalog or {}), mine, app.access, before)


async def _judge_rollout(c: Connection, fleet: Fleet, rollout: Rollout, now: float) -> Fleet:
    """The app as it is afterwards."""
    app, new = fleet.app, fleet.new(rollout)
    mine = desired.of(new, fleet.present)
    verdict, about = desired.verdict(mine)
    if len(mine) < len(new):
        verdict, about = "starting", []
    done = [one for one in rollout.steps if one["name"] not in ("start", "switch")]
    began = next((one["started_at"] for one in rollout.steps if one["name"] == "start"), now)
    start = {"name": "start", "started_at": began, "detail": "; ".join(desired.describe(task) for task in mine)}
    if verdict == "starting":
        steps = [*done, {**start, "status": "running", "finished_at": None}]
        if steps != rollout.steps:
            await rollout_rows.update_rollout(c, rollout.deployment, {"steps": steps, "reported": False})
        return fleet
    if verdict == "failed":
        columns = {"status": "failed", "errors": [blame(task) for task in about]}
        steps = [*done, {**start, "status": "failed", "finished_at": now}]
        await rollout_rows.update_rollout(c, rollout.deployment, {**columns, "steps": steps, "reported": False})
        await _withdraw(c, fleet, now)
        return fleet
    finished = {**start, "status": "succeeded", "finished_at": now}
    steps = [*done, finished, step("switch", "succeeded", now, finished=now)]
    warnings = [remark(task) for task in mine if task.is_healthy and task.detail]
    ended = {"status": "live", "steps": steps, "warnings": warnings, "reported": False}
    await rollout_rows.update_rollout(c, rollout.deployment, ended)
    live: dict[str, Any] = {"deployment": rollout.deployment, "commit": rollout.commit, "catalog": rollout.catalog}
    await apps.put(c, app.name, live)
    ranges = autoscaler.ranges(Catalog.from_json(rollout.catalog), fleet.scales)
    await autoscaling.replace_app_scales(c, app.name, ranges)
    await schedules.put(c, app.name, Catalog.from_json(rollout.catalog), now)
    fleet = Fleet(replace(app, **live), {name: scale for name, (_, scale) in ranges.items()}, fleet.present)
    await _withdraw(c, fleet, now)
    return fleet


async def _withdraw(c: Connection, fleet: Fleet, now: float) -> None:
    """Order the stop of what the live revision does not want."""
    await _stop(c, desired.surplus(fleet.live, fleet.present), now)


def blame(task: Task) -> dict[str, Any]:
    """A deployment's error about an instance that did not start, with its last log lines."""
    why: Mapping[str, Any] = task.reason or {}
    message = f"component {task.name} did not start: {why.get('code', 'failed')}: {why.get('detail') or 'no detail'}"
    return {
        "message": message,
        "component": task.name,
        "reason": why.get("code"),
        "log_tail": (task.log_tail or [])[-LOG_LINES:],
    }


def remark(task: Task) -> dict[str, Any]:
    """A deployment's warning about an instance that serves all the same."""
    place = {"file": None, "line": None, "column": None}
    return {**place, "message": f"component {task.name}: {task.detail}", "component": task.name}


async def remove(parts: Parts, name: str) -> None:
    """End an app: its routes, instances and runs."""
    async with parts.db.write() as c:
        now = await clock(c)
        await apps.remove(c, name)
        parts.catalogs.forget(name)
        await routes.save_app_routes(c, name, None)
        await autoscaling.replace_app_scales(c, name, {})
        await schedule_rows.remove_schedules(c, name)
        for task in await tasks.list_instances(c, name):
            gone = {"stop": True} if task.state == "claimed" else {"state": "stopped", "finished_at": now}
            await tasks.update_task(c, task.id, gone)
        open_runs = await rows.list_open_runs(c, name)
    for run in open_runs:
        await queries.end(parts, name, run.id)
    parts.bells.ring(notifications.TABLE)
