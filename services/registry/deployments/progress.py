"""What is written while a deployment goes on: each call is one transaction, in which nobody else writes of this app.

Raises Overtaken when the deployment is not `pending` any more: a newer one, another replica, or a delete was first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from libs.common import log
from libs.common.db import Database, database_time
from libs.common.manifests import Problem
from libs.common.manifests.catalog import Catalog
from services.registry.checks import secret_usage
from services.registry.checks.problems import problem_to_json
from services.registry.db import Connection, access_feed, apps, deployments, secrets
from services.registry.db.deployments import REGISTRY
from services.registry.deployments.state import PENDING_ONLY, Deployment, StepHistory
from services.registry.git.cache import Commit


class Superseded(Exception):
    """This deployment is not ours to go on with."""


class DeploymentProgress:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def _locked_deployment(self, deployment: Deployment) -> AsyncIterator[tuple[Connection, float]]:
        """A transaction and its time."""
        async with self._database.write() as conn:
            if await apps.get(conn, deployment.app, lock=True) is None:
                raise Superseded
            if not await deployments.lock_if_status(conn, deployment.id, PENDING_ONLY):
                raise Superseded
            yield conn, await database_time(conn)

    async def start(self, deployment: Deployment) -> StepHistory:
        """The fetch begins; older deployments that would ask Git the same are not needed any more."""
        async with self._locked_deployment(deployment) as (conn, now):
            await deployments.supersede_awaiting_head(conn, deployment.app, deployment.seq, now)
            steps = StepHistory().start("fetch", now)
            await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.steps)
        _log_event(deployment, "deployment began")
        return steps

    async def wait_for_credentials(self, deployment: Deployment, reason: str) -> None:
        """The fetch waits for Git credentials."""
        if StepHistory(deployment.steps).waiting_reason == reason:
            return
        async with self._locked_deployment(deployment) as (conn, now):
            await deployments.supersede_awaiting_head(conn, deployment.app, deployment.seq, now)
            steps = StepHistory().start("fetch", now).wait(reason)
            await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.steps)
        _log_event(deployment, "deployment waits", why=reason)

    async def record_commit(self, deployment: Deployment, steps: StepHistory, commit: Commit) -> StepHistory:
        async with self._locked_deployment(deployment) as (conn, now):
            steps = steps.finish(now, detail=f"commit {commit.id[:12]}").start("validate", now)
            await deployments.update_if_status(conn, deployment.id, PENDING_ONLY, **_commit_columns(commit))
            await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.steps)
            if deployment.pinned is None:
                await apps.update_repository(conn, deployment.app, head=commit.id, abandoned=None, poll_error=None)
        return steps

    async def finish_unchanged(
        self, deployment: Deployment, steps: StepHistory, commit: Commit, existing: Deployment
    ) -> None:
        detail = f"the head {commit.id[:12]} brings nothing new: deployment {existing.id} is {existing.status}"
        async with self._locked_deployment(deployment) as (conn, now):
            await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.finish(now, detail=detail).steps)
            columns = {"status": "superseded", "finished_at": now, **_commit_columns(commit)}
            await deployments.update_if_status(conn, deployment.id, PENDING_ONLY, **columns)
            await apps.record_head(conn, deployment.app, commit.id)
        _log_event(deployment, "deployment brings nothing new", commit=commit.id[:10])

    async def fail(self, deployment: Deployment, steps: StepHistory, errors: list[dict[str, Any]]) -> None:
        async with self._locked_deployment(deployment) as (conn, now):
            steps = (steps if steps.steps else steps.start("fetch", now)).finish(now, "failed", errors[0]["message"])
            await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.steps)
            columns = {"status": "failed", "errors": errors, "finished_at": now}
            await deployments.update_if_status(conn, deployment.id, PENDING_ONLY, **columns)
        fields = {"app": deployment.app, "deployment": deployment.id, "why": errors[0]["message"]}
        log.get("registry").warning("deployment failed", **fields)

    async def save_revision(
        self, deployment: Deployment, steps: StepHistory, commit: Commit, catalog: Catalog, warnings: list[Problem]
    ) -> bool:
        """Write the revision, end older deployments that still wait, and release it. Whether it is `starting`."""
        async with self._locked_deployment(deployment) as (conn, now):
            await deployments.supersede_older(conn, deployment.app, "pending", deployment.seq, now)
            for name, keys in catalog.secrets.items():
                await secrets.declare(conn, deployment.app, name, keys, now)
            revision = await deployments.add_revision(
                conn, deployment.app, commit.id, catalog.to_json(), secret_usage.list_password_secrets(catalog), now
            )
            warnings_json = [problem_to_json(warning) for warning in warnings]
            await deployments.update_if_status(
                conn, deployment.id, PENDING_ONLY, revision=revision, warnings=warnings_json
            )
            steps = steps.finish(now).start("revision", now).finish(now)
            waits = await start_or_wait(conn, deployment, steps, catalog, now)
        return _log_start(deployment, waits, warnings=len(warnings))

    async def resume(self, deployment: Deployment, revision: str) -> bool:
        """Go on with one that waited for values of secrets. Whether it is `starting` now."""
        async with self._locked_deployment(deployment) as (conn, now):
            catalog = Catalog.from_json(await deployments.get_catalog(conn, revision))
            waits = await start_or_wait(
                conn, deployment, StepHistory(deployment.steps).drop_from("secrets"), catalog, now
            )
        return _log_start(deployment, waits, warnings=len(deployment.warnings))


def _log_start(deployment: Deployment, waits: str | None, *, warnings: int) -> bool:
    if waits is None:
        _log_event(deployment, "deployment starts", warnings=warnings)
    elif waits != StepHistory(deployment.steps).waiting_reason:
        _log_event(deployment, "deployment waits", why=waits)
    return waits is None


def _log_event(deployment: Deployment, event: str, **fields: Any) -> None:
    log.get("registry").info(event, app=deployment.app, deployment=deployment.id, **fields)


def _commit_columns(commit: Commit) -> dict[str, Any]:
    return {"commit_id": commit.id, "author": commit.author, "message": commit.message}


async def start_or_wait(
    conn: Connection, deployment: Deployment, steps: StepHistory, catalog: Catalog, now: float
) -> str | None:
    """None: it is `starting` now. Else the reason for which it waits; nothing changed but, perhaps, that."""
    steps = steps.start("secrets", now)
    if reasons := await _list_missing_values(conn, deployment.app, catalog):
        steps = steps.wait("; ".join(reasons))
        await _wait_for_secrets(conn, deployment, steps)
        return steps.waiting_reason
    await deployments.update_if_status(conn, deployment.id, PENDING_ONLY, status="starting")
    steps = steps.finish(now).start("announce", now).finish(now)
    await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.steps)
    await deployments.supersede_older(conn, deployment.app, "starting", deployment.seq, now)
    await access_feed.record_change(conn, deployment.app)
    return None


async def _list_missing_values(conn: Connection, app: str, catalog: Catalog) -> list[str]:
    stored = await secrets.list_secrets(conn, app)
    declared = {name: catalog.secrets.get(name) or secret.keys for name, secret in stored.items()}
    keys_set = {name: secret.keys_set for name, secret in stored.items()}
    return secret_usage.list_missing_values(app, secret_usage.list_used_secrets(catalog), declared, keys_set)


async def _wait_for_secrets(conn: Connection, deployment: Deployment, steps: StepHistory) -> None:
    if StepHistory(deployment.steps).waiting_reason != steps.waiting_reason:
        await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.steps)
