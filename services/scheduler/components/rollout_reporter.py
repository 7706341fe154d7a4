"""Reports rollout progress to the registry."""

from __future__ import annotations

from libs.common import log
from libs.common.db import Database
from libs.common.errors import Conflict, NotFound
from libs.common.http.client import ServiceClient
from libs.common.periodic_task import for_each
from libs.common.protocol.deployment import DeploymentReport
from services.scheduler.db import rollouts
from services.scheduler.model.rollout import Rollout


async def report_rollouts(db: Database, registry: ServiceClient) -> None:
    """Report all changed rollouts. Raises Unavailable when the registry is down; the next pass reports them again."""
    async with db.read() as conn:
        changed_rollouts = await rollouts.list_unreported_rollouts(conn)
    await for_each(
        changed_rollouts, lambda rollout: _report_rollout(db, registry, rollout), lambda rollout: rollout.deployment
    )


async def _report_rollout(db: Database, registry: ServiceClient, rollout: Rollout) -> None:
    report = DeploymentReport(
        status=rollout.status,
        steps=tuple(rollout.steps),
        errors=tuple(rollout.errors),
        warnings=tuple(rollout.warnings),
    )
    await post_report(registry, rollout.deployment, report)
    async with db.write() as conn:
        await rollouts.mark_rollout_reported(conn, rollout)
    _log_outcome(rollout)


def _log_outcome(rollout: Rollout) -> None:
    fields = {"app": rollout.app, "deployment": rollout.deployment, "commit": rollout.commit[:10]}
    if rollout.status == "live":
        log.get("scheduler").info("Rollout live", **fields)
    elif rollout.status == "failed":
        why = next((error.message for error in rollout.errors), None)
        log.get("scheduler").warning("Rollout failed", **fields, why=why)


async def post_report(registry: ServiceClient, deployment: str, report: DeploymentReport) -> None:
    try:
        await registry.post(f"/internal/deployments/{deployment}/report", report.to_json())
    except (NotFound, Conflict):
        return  # the app is deleted, or a newer deployment supersedes this one
