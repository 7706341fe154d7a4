"""The route writer: writes an app's part of the route table when its instances or its live revision have changed it."""

from __future__ import annotations

from libs.common.protocol.route_table import AppRoutes
from services.scheduler.components import desired_instances, instance_controller, route_builder
from services.scheduler.components.desired_instances import InstanceSet
from services.scheduler.db import Connection, route_table


async def update_routes(conn: Connection, name: str) -> bool:
    """Write the routes of the live revision from the current instances. Whether they changed."""
    return await write_routes(conn, await instance_controller.load_instance_set(conn, name))


async def write_routes(conn: Connection, instance_set: InstanceSet) -> bool:
    """Write the routes of the live revision. Whether they changed.

    They are written from a read under the lock of the table: a heartbeat may have changed the instances before it.
    """
    if instance_set.app.catalog is None:
        return False
    old_routes = await route_table.get_app_routes(conn, instance_set.app.name)
    if _build_routes(instance_set, old_routes) == old_routes:
        return False
    await route_table.lock_route_table(conn)
    instance_set = await instance_controller.load_instance_set(conn, instance_set.app.name)
    if instance_set.app.catalog is None:
        return False
    new_routes = _build_routes(instance_set, await route_table.get_app_routes(conn, instance_set.app.name))
    return await route_table.save_app_routes(conn, instance_set.app.name, new_routes)


def _build_routes(instance_set: InstanceSet, old_routes: AppRoutes) -> AppRoutes:
    app = instance_set.app
    live_tasks = desired_instances.matching_tasks(instance_set.desired_live, instance_set.tasks)
    serving = [*live_tasks, *instance_set.outdated]
    return route_builder.build_app_routes(instance_set.catalog, serving, app.access, old_routes)
