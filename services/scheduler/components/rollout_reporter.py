"""Tells the registry how its deployments go."""

from __future__ import annotations

from typing import Any

from libs.common import log
from libs.common.errors import Conflict, NotFound
from libs.common.periodic_task import for_each
from services.scheduler.db import rollouts
from services.scheduler.dependencies import Parts
from services.scheduler.model.rollout import Rollout


async def tell(parts: Parts) -> None:
    """Report rollouts that changed to the registry. Raises Unavailable when it is away; they stay to be told."""
    async with parts.db.read() as c:
        news = await rollouts.list_unreported_rollouts(c)
    await for_each(news, lambda rollout: _tell(parts, rollout), lambda rollout: rollout.deployment)


async def _tell(parts: Parts, rollout: Rollout) -> None:
    body = {
        "status": rollout.status,
        "steps": rollout.steps,
        "errors": rollout.errors,
        "warnings": rollout.warnings,
    }
    await _report(parts, rollout, body)
    async with parts.db.write() as c:
        await rollouts.mark_rollout_reported(c, rollout)
    _log(rollout)


def _log(rollout: Rollout) -> None:
    about = {"app": rollout.app, "deployment": rollout.deployment, "commit": rollout.commit[:10]}
    if rollout.status == "live":
        log.get("scheduler").info("deployment is live", **about)
    elif rollout.status == "failed":
        why = next((error.get("message") for error in rollout.errors or ()), None)
        log.get("scheduler").warning("deployment failed", **about, why=why)


async def _report(parts: Parts, rollout: Rollout, body: dict[str, Any]) -> None:
    try:
        await parts.peers.registry.post(f"/internal/deployments/{rollout.deployment}/report", body)
    except (NotFound, Conflict):
        return  # the app is gone, or a newer deployment has taken its place
