"""The components of an app as owners see them."""

from __future__ import annotations

from typing import Any

from libs.common.errors import NotFound
from libs.common.manifests.catalog import Catalog
from services.scheduler.components import route_table
from services.scheduler.db import apps, autoscaling, rollouts, tasks
from services.scheduler.dependencies import Parts
from services.scheduler.model.app import App
from services.scheduler.runs import views


async def listed(parts: Parts, app: str) -> list[dict[str, Any]]:
    """The components of the live revision and of one that is being rolled out."""
    async with parts.db.read() as c:
        found = await apps.get(c, app)
        present = await tasks.list_instances(c, app)
        asleep = {name for name, scale in (await autoscaling.list_app_scales(c, app)).items() if not scale.replicas}
        catalogs = [rollout.catalog for rollout in await rollouts.list_active_rollouts(c, app)]
    if found is not None and found.catalog is not None:
        catalogs.append(found.catalog)
    names = sorted({name for catalog in catalogs for name in catalog["components"]})
    return [
        views.component(name, [task for task in present if task.name == name], asleep=name in asleep) for name in names
    ]


async def one(parts: Parts, app: str, name: str) -> dict[str, Any]:
    found = {component["name"]: component for component in await listed(parts, app)}
    if name not in found:
        raise NotFound(f"{app} has no component {name}; components are {', '.join(found) or 'none'}")
    return found[name]


def apis(app: App | None) -> list[dict[str, Any]]:
    if app is None or app.catalog is None:
        return []
    catalog = Catalog.from_json(app.catalog)
    return [route_table.published(name, api) for name, api in sorted(catalog.apis.items()) if api.spec.published]
