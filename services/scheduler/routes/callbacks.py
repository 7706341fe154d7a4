"""Deliveries of a run's callback: list and redeliver."""

from __future__ import annotations

from libs.common.db import database_time
from libs.common.errors import NotFound
from libs.common.http.documented_router import DocumentedRouter
from services.scheduler.callbacks import signing, views
from services.scheduler.callbacks.views import DeliveryJson, DeliveryListJson
from services.scheduler.db import callbacks
from services.scheduler.routes.dependencies import DependenciesDep
from services.scheduler.routes.run_scope import RunScopeDep, require_visible_run, run_route

router = DocumentedRouter()


@run_route(router, "GET", "/{run_id}/deliveries")
async def list_deliveries(deps: DependenciesDep, scope: RunScopeDep, run_id: str) -> DeliveryListJson:
    """What the callback was told."""
    await require_visible_run(deps, scope, run_id)
    async with deps.db.read() as conn:
        callback = await callbacks.get(conn, run_id)
        deliveries = await callbacks.list_deliveries(conn, run_id)
    key = deps.settings.internal_token
    secret = signing.signing_secret(key, callback.app, callback.user, callback.run) if callback and scope.user else None
    callback_json = views.callback_to_json(callback.spec, secret) if callback else None
    return {
        "items": [views.delivery_to_json(delivery) for delivery in deliveries],
        "next": None,
        "callback": callback_json,
    }


@run_route(router, "POST", "/{run_id}/deliveries/{delivery}/redeliver", status_code=202)
async def redeliver_event(deps: DependenciesDep, scope: RunScopeDep, run_id: str, delivery: str) -> DeliveryJson:
    """Send a delivery again now, whatever its state; it keeps its id."""
    await require_visible_run(deps, scope, run_id)
    async with deps.db.write() as conn:
        now = await database_time(conn)
        if delivery not in [item.id for item in await callbacks.list_deliveries(conn, run_id)]:
            raise NotFound(f"no delivery {delivery}")
        await callbacks.update_delivery(conn, delivery, {"state": "pending", "next_at": now})
        updated = next(item for item in await callbacks.list_deliveries(conn, run_id) if item.id == delivery)
    deps.triggers.callbacks.wake()
    return views.delivery_to_json(updated)
