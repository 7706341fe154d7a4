"""Status of an app's components, for owners."""

from __future__ import annotations

from typing import Any

from libs.common.db import Database
from libs.common.errors import NotFound
from libs.common.manifests.catalog import Catalog
from libs.common.protocol.route_table import AppRoutes
from services.scheduler.components import route_table
from services.scheduler.db import apps, autoscaling, rollouts, tasks
from services.scheduler.model.app import App
from services.scheduler.runs import views


async def list_components(db: Database, app: str) -> list[dict[str, Any]]:
    """Components of the live revision and of active rollouts."""
    async with db.read() as conn:
        live_app = await apps.get(conn, app)
        instances = await tasks.list_instances(conn, app)
        asleep = {name for name, scale in (await autoscaling.list_app_scales(conn, app)).items() if not scale.replicas}
        catalogs = [rollout.catalog for rollout in await rollouts.list_active_rollouts(conn, app)]
    if live_app is not None and live_app.catalog is not None:
        catalogs.append(live_app.catalog)
    names = sorted({name for catalog in catalogs for name in catalog["components"]})
    return [
        views.component_to_json(name, [task for task in instances if task.name == name], asleep=name in asleep)
        for name in names
    ]


async def get_component(db: Database, app: str, name: str) -> dict[str, Any]:
    components = {component["name"]: component for component in await list_components(db, app)}
    if name not in components:
        raise NotFound(f"{app} has no component {name}; components are {', '.join(components) or 'none'}")
    return components[name]


def list_apis(app: App | None) -> list[dict[str, Any]]:
    if app is None or app.catalog is None:
        return []
    return list(AppRoutes(apis=route_table.list_published_apis(Catalog.from_json(app.catalog))).to_json()["apis"])
