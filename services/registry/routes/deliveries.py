"""`/api/v1/apps/{ns}/deliveries`: the log of webhook deliveries."""

from __future__ import annotations

from fastapi import Response

from libs.common.db import database_time
from libs.common.errors import NotFound
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import Page
from services.registry.db import apps, deliveries, deployments
from services.registry.deliveries import WebhookDeliveryJson
from services.registry.dependencies import AppNotFound, CallerDep, DependenciesDep
from services.registry.deployments.state import DeploymentJson, DeploymentTrigger
from services.registry.git.remotes import NoRepository
from services.registry.routes.deployments import accept_deployment

router = DocumentedRouter(prefix="/api/v1/apps/{ns}/deliveries", tags=["webhooks"])
MAX_ITEMS = 100


@router.get("")
async def list_webhook_deliveries(ns: str, deps: DependenciesDep, caller: CallerDep) -> Page[WebhookDeliveryJson]:
    """The last 100, newest first; of a refused one which check failed, and what to set."""
    caller.require_scope("read", ns)
    async with deps.database.read() as conn:
        if await apps.get(conn, ns) is None:
            raise AppNotFound(ns)
        newest = await deliveries.list_newest(conn, ns, MAX_ITEMS)
    return {"items": [delivery.to_json() for delivery in newest], "next": None}


@router.post("/{delivery}/redeliver", status_code=202)
async def redeliver_webhook(
    ns: str, delivery: str, deps: DependenciesDep, caller: CallerDep, response: Response
) -> DeploymentJson:
    """Deploy the branch's head, as `sync` does: the log keeps no bodies, and Git decides what the head is."""
    caller.require_scope("develop", ns)
    async with deps.database.write() as conn:
        if await apps.get(conn, ns, lock=True) is None:
            raise AppNotFound(ns)
        if await deliveries.get(conn, ns, delivery) is None:
            raise NotFound(f'{ns} has no delivery "{delivery}"')
        if await apps.get_repository(conn, ns) is None:
            raise NoRepository()
        now = await database_time(conn)
        deployment = await deployments.add(conn, ns, DeploymentTrigger.SYNC, now, caller.title)
    return accept_deployment(deps, deployment, response)
