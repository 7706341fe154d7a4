"""Deploys what a forge reports. The report is only a hint: Git decides what the head is."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Response
from fastapi.responses import JSONResponse

from libs.common import log
from libs.common.frozen import copy_with
from services.registry.db import Connection, apps, deliveries, deployments
from services.registry.deliveries import Delivery
from services.registry.dependencies import Dependencies
from services.registry.deployments.push_decision import PushContext, PushDecision, decide_push, find_existing_deployment
from services.registry.deployments.state import Deployment, DeploymentTrigger
from services.registry.forges.pushes import BRANCH_PREFIX, Change

HEAD_TIMEOUT_S = 0.7
"""Forges stop waiting within seconds; the deployment asks a slower remote."""


async def read_head(deps: Dependencies, ns: str) -> str | None:
    """What Git says is the head; None when that takes too long. Raises RefNotFound, TooManyRequests."""
    await deps.delivery_log.check_rate(ns)
    return await deps.read_remote_head(ns, HEAD_TIMEOUT_S)


class HeadNeeded(Exception):
    """Git must say what the head is before the push can be decided; no transaction waits for it."""


@dataclass(frozen=True)
class GitHead:
    """What Git said; None: it did not answer in time."""

    commit: str | None


async def deploy_push(deps: Dependencies, delivery: Delivery, change: Change, caused_by: str) -> Response:
    """Record the delivery together with its deployment. Raises RefNotFound, TooManyRequests."""
    ns = delivery.app
    try:
        status, deployment = await _record_push(deps, delivery, change, None, caused_by)
    except HeadNeeded:
        head = GitHead(await read_head(deps, ns))
        status, deployment = await _record_push(deps, delivery, change, head, caused_by)
    _log_push(ns, change, deployment.id, status)
    if status == 202:
        deps.deployment_worker.wake()
    return deployment_response(status, deployment)


async def _record_push(
    deps: Dependencies, delivery: Delivery, change: Change, head: GitHead | None, caused_by: str
) -> tuple[int, Deployment]:
    """HTTP status and deployment of the response, decided under the app's row lock. Raises HeadNeeded."""
    async with deps.database.write() as conn:
        await apps.lock(conn, delivery.app)
        now = await deps.delivery_log.require_rate(conn, delivery.app)
        context = await deployments.load_push_context(conn, delivery.app, change.commit)
        status, deployment = await _apply_decision(conn, delivery.app, change, head, context, caused_by, now)
        await deliveries.add_accepted(conn, copy_with(delivery, status=status, deployment=deployment.id), now)
    return status, deployment


def _log_push(ns: str, change: Change, deployment: str | None, status: int) -> None:
    branch = change.ref.removeprefix(BRANCH_PREFIX) if change.ref is not None else None
    fields = {"branch": branch, "commit": change.commit, "deployment": deployment, "status": status}
    log.get("registry").info("Push received", app=ns, **fields)


async def _apply_decision(
    conn: Connection, ns: str, change: Change, head: GitHead | None, context: PushContext, caused_by: str, now: float
) -> tuple[int, Deployment]:
    decision = decide_push(change.commit, context)
    if decision is PushDecision.JOIN and context.newest is not None:
        return 202, context.newest
    if decision is PushDecision.NOTHING_NEW and context.live is not None:
        return 200, await deployments.load_steps(conn, context.live)
    if decision is PushDecision.ASK_GIT:
        if head is None:
            raise HeadNeeded
        if head.commit is not None and (existing := find_existing_deployment(head.commit, context)) is not None:
            await apps.record_head(conn, ns, head.commit)
            return 200 if existing.status == "live" else 202, await deployments.load_steps(conn, existing)
    return 202, await deployments.add(conn, ns, DeploymentTrigger.PUSH, now, caused_by)


def deployment_response(status: int, deployment: Deployment | None) -> Response:
    if deployment is None:
        return JSONResponse({"status": "known"}, status)
    return JSONResponse(
        deployment.to_json(), status, {"Location": f"/api/v1/apps/{deployment.app}/deployments/{deployment.id}"}
    )
