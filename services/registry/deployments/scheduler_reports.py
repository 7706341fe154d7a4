"""What the scheduler reports of a deployment that it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from libs.common.manifests.catalog import Catalog
from services.registry.apps import App
from services.registry.db import Connection, apps, deployments
from services.registry.db.deployments import SCHEDULER
from services.registry.deployments.state import Deployment, DeploymentStep


async def apply_report(
    conn: Connection,
    deployment: Deployment,
    status: str,
    steps: Sequence[DeploymentStep],
    errors: list[dict[str, Any]],
    warnings: list[dict[str, Any]],
    now: float,
) -> None:
    """Replace what was reported before. Repeated and late reports change nothing that has ended."""
    await deployments.replace_steps(conn, deployment.id, SCHEDULER, steps)
    await deployments.update_if_status(
        conn, deployment.id, ("starting", "live", "superseded"), reported_warnings=warnings
    )
    if status == "live":
        await _go_live(conn, deployment, now)
    elif status == "failed":
        columns = {"status": "failed", "errors": errors, "finished_at": now}
        await deployments.update_if_status(conn, deployment.id, ("starting",), **columns)
    elif status == "superseded":
        await deployments.update_if_status(conn, deployment.id, ("starting",), status="superseded", finished_at=now)


async def _go_live(conn: Connection, deployment: Deployment, now: float) -> None:
    """The scheduler knows what is routed, so even one that was superseded here goes live, unless a newer one is."""
    live = await deployments.get_live(conn, deployment.app)
    if live is not None and live.seq >= deployment.seq:
        return
    changed = await deployments.update_if_status(
        conn, deployment.id, ("starting", "superseded"), status="live", live_at=now, finished_at=None
    )
    if changed:
        await deployments.supersede_older(conn, deployment.app, "live", deployment.seq, now)
        await _update_app(conn, deployment)


async def _update_app(conn: Connection, deployment: Deployment) -> None:
    """A PlatformApp in Git says what the app is called, from the moment that its revision is live."""
    if deployment.revision is None:
        return
    catalog = Catalog.from_json(await deployments.get_catalog(conn, deployment.revision))
    if catalog.app is not None:
        app = App.from_manifest(catalog.app)
        await apps.update_app(conn, App(deployment.app, app.title, app.description, app.module_kind, app.owners))
