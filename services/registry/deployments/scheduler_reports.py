"""What the scheduler reports of a deployment that it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from libs.common.manifests.catalog import Catalog
from services.registry.apps import App
from services.registry.db import Connection, apps, deployments
from services.registry.db.deployments import SCHEDULER
from services.registry.deployments.state import Deployment, Step


async def report(
    c: Connection,
    deployment: Deployment,
    status: str,
    steps: Sequence[Step],
    errors: list[dict[str, Any]],
    warnings: list[dict[str, Any]],
    now: float,
) -> None:
    """Replace what was reported before. Repeated and late reports change nothing that has ended."""
    await deployments.put_steps(c, deployment.id, SCHEDULER, steps)
    await deployments.change(c, deployment.id, ("starting", "live", "superseded"), reported_warnings=warnings)
    if status == "live":
        await _live(c, deployment, now)
    elif status == "failed":
        ended = {"status": "failed", "errors": errors, "finished_at": now}
        await deployments.change(c, deployment.id, ("starting",), **ended)
    elif status == "superseded":
        await deployments.change(c, deployment.id, ("starting",), status="superseded", finished_at=now)


async def _live(c: Connection, deployment: Deployment, now: float) -> None:
    """The scheduler knows what is routed, so even one that was superseded here goes live, unless a newer one is."""
    present = await deployments.live(c, deployment.app)
    if present is not None and present.seq >= deployment.seq:
        return
    changed = await deployments.change(
        c, deployment.id, ("starting", "superseded"), status="live", live_at=now, finished_at=None
    )
    if changed:
        await deployments.supersede(c, deployment.app, "live", deployment.seq, now)
        await _describe(c, deployment)


async def _describe(c: Connection, deployment: Deployment) -> None:
    """A PlatformApp in Git says what the app is called, from the moment that its revision is live."""
    if deployment.revision is None:
        return
    catalog = Catalog.from_json(await deployments.catalog(c, deployment.revision))
    if catalog.app is not None:
        app = App.of(catalog.app)
        await apps.change(c, App(deployment.app, app.title, app.description, app.module_kind, app.owners))
