"""Pulls deployments and access lists from the registry. Polling makes lost messages harmless."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from libs.common.db import Database, database_time
from libs.common.http.client import ServiceClient
from libs.common.log import get
from libs.common.manifests.catalog import Catalog
from libs.common.periodic_task import for_each
from libs.common.protocol.access import AccessFeed
from libs.common.protocol.deployment import (
    DeploymentReport,
    RolloutProblem,
    StartingDeployment,
    StartingDeployments,
)
from services.scheduler.components import app_removal, rollout_reporter
from services.scheduler.db import Connection, apps, built_images, rollouts, version_counters
from services.scheduler.live_catalog_cache import LiveCatalogCache
from services.scheduler.model.rollout import Rollout
from services.scheduler.tasks.transition_applier import TransitionApplier

ACCESS = "access"
MAX_REASON_LENGTH = 500


async def sync_registry(
    db: Database, registry: ServiceClient, catalogs: LiveCatalogCache, applier: TransitionApplier
) -> set[str]:
    """Pull everything. Returns the apps that changed.

    Deployments are fetched before access lists and stored after them: no revision goes live without its users.
    """
    response = await registry.get("/internal/deployments", status="starting")
    return await sync_access(db, registry, catalogs, applier) | await sync_deployments(
        db, registry, StartingDeployments.model_validate(response).items
    )


async def sync_deployments(db: Database, registry: ServiceClient, items: Iterable[StartingDeployment]) -> set[str]:
    changed: set[str] = set()

    async def sync_revision(item: StartingDeployment) -> None:
        if problem := catalog_problem(item.catalog):
            await _reject_revision(registry, item, problem)
        elif await _add_rollout(db, item):
            changed.add(item.app)

    await for_each(items, sync_revision, lambda item: item.id)
    return changed


def catalog_problem(catalog: Mapping[str, object]) -> str | None:
    """Why this release cannot read the catalog; None if it can."""
    try:
        Catalog.from_json(catalog)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"the scheduler cannot read this revision: {error}"[:MAX_REASON_LENGTH]
    return None


async def _reject_revision(registry: ServiceClient, item: StartingDeployment, problem: str) -> None:
    get("scheduler").error("Revision rejected", app=item.app, deployment=item.id, why=problem)
    report = DeploymentReport(status="failed", errors=(RolloutProblem(message=problem),))
    await rollout_reporter.post_report(registry, item.id, report)


async def _add_rollout(db: Database, item: StartingDeployment) -> bool:
    """Insert a rollout for the revision. Whether it is new."""
    async with db.write() as conn:
        now = await database_time(conn)
        rollout = Rollout(
            deployment=item.id,
            app=item.app,
            commit=item.commit,
            status="starting",
            catalog=dict(item.catalog),
            created_at=now,
            images=await _get_repeated_images(conn, item),
        )
        added = await rollouts.add_rollout(conn, rollout)
        if added:
            await apps.put(conn, item.app, {})
            if item.promoted_from is not None:
                await built_images.copy(conn, item.promoted_from, item.app, rollout.images, now)
    if added:
        get("scheduler").info("Rollout started", app=item.app, deployment=item.id, commit=item.commit[:10])
    return added


async def _get_repeated_images(conn: Connection, item: StartingDeployment) -> Mapping[str, str]:
    """The exact images of the deployment that a rollback or a promotion repeats."""
    if item.rollback_to is None:
        return {}
    return await rollouts.get_images(conn, item.promoted_from or item.app, item.rollback_to)


async def sync_access(
    db: Database, registry: ServiceClient, catalogs: LiveCatalogCache, applier: TransitionApplier
) -> set[str]:
    async with db.read() as conn:
        since = await version_counters.get_counter(conn, ACCESS)
    feed = AccessFeed.model_validate(await registry.get("/internal/access", since=since))
    changed: set[str] = set()

    async def sync_app_access(name: str) -> None:
        app_access = feed.apps[name]
        if app_access is None:
            await app_removal.remove_app(db, catalogs, applier, name)
        else:
            async with db.write() as conn:
                await apps.put(conn, name, {"access": app_access.to_json()})
            changed.add(name)

    await for_each(feed.apps, sync_app_access)
    if feed.version != since:
        async with db.write() as conn:
            await version_counters.set_counter(conn, ACCESS, feed.version)
    return changed
