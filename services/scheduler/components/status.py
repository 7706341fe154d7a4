"""Status of an app's components, for owners and for the page of the app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from libs.common.component_status import ComponentJson, ComponentStatus, InstanceJson
from libs.common.db import Database, database_time
from libs.common.errors import NotFound
from libs.common.http.response_shapes import ReasonJson
from libs.common.manifests.catalog import Catalog
from libs.common.protocol.route_table import Api
from libs.common.times import iso_time
from services.scheduler.components import route_builder
from services.scheduler.db import Connection, apps, autoscaling, built_images, rollouts, tasks, workers
from services.scheduler.model.app import App
from services.scheduler.model.eligible_workers import explain_no_worker
from services.scheduler.model.reason import Reason, reason
from services.scheduler.model.task import Task

NO_OBSTACLES: Mapping[str, Reason] = {}


async def list_components(db: Database, app: str) -> list[ComponentJson]:
    """Components of the live revision and of active rollouts."""
    async with db.read() as conn:
        live_app = await apps.get(conn, app)
        instances = await tasks.list_instances(conn, app)
        asleep = {name for name, scale in (await autoscaling.list_app_scales(conn, app)).items() if not scale.replicas}
        obstacles = await _list_obstacles(conn, instances)
        catalogs = [rollout.catalog for rollout in await rollouts.list_active_rollouts(conn, app)]
    if live_app is not None and live_app.catalog is not None:
        catalogs.append(live_app.catalog)
    names = sorted({name for catalog in catalogs for name in catalog["components"]})
    return [
        component_to_json(name, [task for task in instances if task.name == name], obstacles, asleep=name in asleep)
        for name in names
    ]


async def _list_obstacles(conn: Connection, instances: Sequence[Task]) -> Mapping[str, Reason]:
    """Why no worker claims an instance, by its id. Workers are loaded only when an instance is ready."""
    if not (ready := [task for task in instances if task.state == "ready"]):
        return NO_OBSTACLES
    alive = await workers.list_alive(conn, await database_time(conn))
    engines = await built_images.list_engines(conn, {task.image for task in ready if task.image is not None})
    return {task.id: obstacle for task in ready if (obstacle := explain_no_worker(task, alive, engines))}


async def get_component(db: Database, app: str, name: str) -> ComponentJson:
    components = {component["name"]: component for component in await list_components(db, app)}
    if name not in components:
        raise NotFound(f"{app} has no component {name}; components are {', '.join(components) or 'none'}")
    return components[name]


def list_apis(app: App | None) -> tuple[Api, ...]:
    if app is None or app.catalog is None:
        return ()
    return route_builder.list_published_apis(Catalog.from_json(app.catalog))


def component_to_json(
    name: str, tasks: Sequence[Task], obstacles: Mapping[str, Reason] = NO_OBSTACLES, *, asleep: bool = False
) -> ComponentJson:
    """A component's status from its open instances; `asleep`: scaled to zero. Those that stop tell nothing of it."""
    every, tasks = tasks, [task for task in tasks if not task.stop_requested] or tasks
    healthy = [task for task in tasks if task.is_healthy]
    failed = next((task.reason for task in tasks if task.reason), None)
    unhealthy = next((task for task in tasks if task.state == "claimed" and task.phase == "unhealthy"), None)
    obstacle = next((obstacles[task.id] for task in tasks if task.id in obstacles), None)
    refusal = reason("unhealthy", unhealthy.detail or "") if unhealthy is not None else None
    status: ComponentStatus
    if healthy:
        status = "healthy"
    elif any(task.failures for task in tasks):
        status = "failing"
    elif tasks:
        status = "waiting" if failed or obstacle else "unhealthy" if refusal else "starting"
    else:
        status = "asleep" if asleep else "stopped"
    return {
        "name": name,
        "status": status,
        "reason": None if healthy else _without_log_tail(obstacle or failed or refusal),
        "instances": [instance_to_json(task, obstacles.get(task.id)) for task in every],
        "error": failed.detail if failed and not healthy else None,
        "log_tail": next((task.log_tail for task in tasks if task.log_tail), []),
    }


def instance_to_json(task: Task, obstacle: Reason | None = None) -> InstanceJson:
    return {
        "id": task.id,
        "status": task.phase if task.state == "claimed" else task.state,
        "worker": task.worker,
        "reason": _without_log_tail(obstacle or task.reason),
        "detail": task.detail,
        "attempt": task.attempt,
        "started_at": iso_time(task.started_at),
        "stops_at": iso_time(task.stop_at) if task.stop_requested else None,
    }


def _without_log_tail(why: Reason | None) -> ReasonJson | None:
    return (
        None
        if why is None
        else cast(ReasonJson, {key: value for key, value in why.to_json().items() if key != "log_tail"})
    )
