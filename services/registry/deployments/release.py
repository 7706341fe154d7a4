"""The last step of a deployment here: handed to the scheduler, or waiting for values of secrets."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.manifests.catalog import Catalog
from services.registry.checks import secret_usage
from services.registry.db import access_feed, deployments, secrets
from services.registry.db.deployments import REGISTRY
from services.registry.deployments.state import PENDING, Deployment, Steps


async def release(c: AsyncConnection, deployment: Deployment, steps: Steps, catalog: Catalog, now: float) -> str | None:
    """None: it is `starting` now. Else the reason for which it waits; nothing changed but, perhaps, that."""
    steps = steps.begun("secrets", now)
    if reasons := await _missing(c, deployment.app, catalog):
        steps = steps.waiting("; ".join(reasons))
        await _wait(c, deployment, steps)
        return steps.reason
    await deployments.change(c, deployment.id, PENDING, status="starting")
    steps = steps.ended(now).begun("announce", now).ended(now)
    await deployments.put_steps(c, deployment.id, REGISTRY, steps.all)
    await deployments.supersede(c, deployment.app, "starting", deployment.seq, now)
    await access_feed.bump(c, deployment.app)
    return None


async def _missing(c: AsyncConnection, app: str, catalog: Catalog) -> list[str]:
    known = await secrets.listed(c, app)
    declared = {name: catalog.secrets.get(name) or secret.keys for name, secret in known.items()}
    present = {name: secret.present for name, secret in known.items()}
    return secret_usage.waiting(app, secret_usage.used(catalog), declared, present)


async def _wait(c: AsyncConnection, deployment: Deployment, steps: Steps) -> None:
    if Steps(deployment.steps).reason != steps.reason:
        await deployments.put_steps(c, deployment.id, REGISTRY, steps.all)
