"""The transitions of a pending deployment, each in one transaction under the app's row lock, and their log lines.

Every method raises Superseded when the deployment is no longer `pending`: a newer deployment, another replica or the
deletion of the app came first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from libs.common import log
from libs.common.db import Database, database_time
from libs.common.manifests import Problem
from libs.common.manifests.catalog import Catalog
from services.registry.checks import secret_usage
from services.registry.checks.problems import DeploymentErrorJson, problem_to_json
from services.registry.db import Connection, access_feed, apps, commit_statuses, deployments, secrets
from services.registry.db.deployments import REGISTRY
from services.registry.deployments.state import PENDING_ONLY, Deployment, StepHistory
from services.registry.git.cache import Commit


class Superseded(Exception):
    """This worker must not continue the deployment."""


@dataclass(frozen=True)
class StartResult:
    """`waiting_for`: the secret values that are missing; None when the deployment is `starting`."""

    waiting_for: str | None
    superseded: tuple[str, ...] = ()


class DeploymentProgress:
    def __init__(
        self, database: Database, wake_status_sender: Callable[[], None], secret_sources: Mapping[str, str]
    ) -> None:
        self._database, self._secret_sources = database, secret_sources
        self._wake_status_sender = wake_status_sender

    @asynccontextmanager
    async def _locked_deployment(self, deployment: Deployment) -> AsyncIterator[tuple[Connection, float]]:
        """A transaction that holds the app's and the deployment's row locks, and its time.

        At its end the forge is to be told what has changed.
        """
        async with self._database.write() as conn:
            if await apps.get(conn, deployment.app, lock=True) is None:
                raise Superseded
            if not await deployments.lock_if_status(conn, deployment.id, PENDING_ONLY):
                raise Superseded
            now = await database_time(conn)
            yield conn, now
            await commit_statuses.record(conn, deployment.app, deployment.id, now)
        self._wake_status_sender()

    async def start(self, deployment: Deployment) -> StepHistory:
        """Start the fetch, and supersede older deployments that await the same head."""
        async with self._locked_deployment(deployment) as (conn, now):
            superseded = await deployments.supersede_awaiting_head(conn, deployment.app, deployment.seq, now)
            steps = StepHistory().start("fetch", now)
            await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.steps)
        log_superseded(deployment, superseded)
        log_event(deployment, "Deployment started", trigger=deployment.trigger)
        return steps

    async def wait_for_credentials(self, deployment: Deployment, reason: str) -> None:
        """Let the fetch wait for values of the Secret with the Git credentials."""
        if StepHistory(deployment.steps).waiting_reason == reason:
            return
        async with self._locked_deployment(deployment) as (conn, now):
            superseded = await deployments.supersede_awaiting_head(conn, deployment.app, deployment.seq, now)
            steps = StepHistory().start("fetch", now).wait(reason)
            await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.steps)
        log_superseded(deployment, superseded)
        log_event(deployment, "Deployment waiting", why=reason)

    async def record_commit(self, deployment: Deployment, steps: StepHistory, commit: Commit) -> StepHistory:
        async with self._locked_deployment(deployment) as (conn, now):
            steps = steps.finish(now, detail=_describe_commit(commit)).start("validate", now)
            await deployments.update_if_status(conn, deployment.id, PENDING_ONLY, **_commit_columns(deployment, commit))
            await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.steps)
            if deployment.pinned_commit is None:
                await apps.update_repository(conn, deployment.app, head=commit.id, abandoned_head=None, poll_error=None)
        return steps

    async def finish_unchanged(
        self, deployment: Deployment, steps: StepHistory, commit: Commit, existing: Deployment
    ) -> None:
        detail = f"no new commit: {commit.id[:12]} is {existing.status} in deployment {existing.id}"
        async with self._locked_deployment(deployment) as (conn, now):
            await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.finish(now, detail=detail).steps)
            columns = {"status": "superseded", "finished_at": now, **_commit_columns(deployment, commit)}
            await deployments.update_if_status(conn, deployment.id, PENDING_ONLY, **columns)
            await apps.record_head(conn, deployment.app, commit.id)
        log_event(deployment, "Deployment superseded", by=existing.id, why=detail)

    async def fail(self, deployment: Deployment, steps: StepHistory, errors: list[DeploymentErrorJson]) -> None:
        async with self._locked_deployment(deployment) as (conn, now):
            steps = (steps if steps.steps else steps.start("fetch", now)).finish(now, "failed", errors[0]["message"])
            await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.steps)
            columns = {"status": "failed", "errors": errors, "finished_at": now}
            await deployments.update_if_status(conn, deployment.id, PENDING_ONLY, **columns)
        log_failed(deployment, [error["message"] for error in errors])

    async def save_revision(
        self, deployment: Deployment, steps: StepHistory, commit: Commit, catalog: Catalog, warnings: Sequence[Problem]
    ) -> bool:
        """Write the revision, supersede older pending deployments, and start it. Whether it is `starting` now."""
        async with self._locked_deployment(deployment) as (conn, now):
            superseded = await deployments.supersede_older(conn, deployment.app, "pending", deployment.seq, now)
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
            result = await _start_or_wait(conn, deployment, steps, catalog, now, self._secret_sources)
        log_superseded(deployment, superseded)
        return _log_start(deployment, result, warnings=len(warnings))

    async def resume(self, deployment: Deployment, revision: str) -> bool:
        """Start a deployment that waited for values of secrets. Whether it is `starting` now."""
        async with self._locked_deployment(deployment) as (conn, now):
            catalog = Catalog.from_json(await deployments.get_catalog(conn, revision))
            steps = StepHistory(deployment.steps).drop_from("secrets")
            result = await _start_or_wait(conn, deployment, steps, catalog, now, self._secret_sources)
        return _log_start(deployment, result, warnings=len(deployment.warnings))


def _log_start(deployment: Deployment, result: StartResult, *, warnings: int) -> bool:
    log_superseded(deployment, result.superseded)
    if result.waiting_for is None:
        log_event(deployment, "Deployment handed to the scheduler", warnings=warnings)
    elif result.waiting_for != StepHistory(deployment.steps).waiting_reason:
        log_event(deployment, "Deployment waiting", why=result.waiting_for)
    return result.waiting_for is None


def log_event(deployment: Deployment, event: str, **fields: Any) -> None:
    log.get("registry").info(event, app=deployment.app, deployment=deployment.id, **fields)


def log_failed(deployment: Deployment, messages: Sequence[str]) -> None:
    why = messages[0] if messages else None
    log.get("registry").warning("Deployment failed", app=deployment.app, deployment=deployment.id, why=why)


def log_superseded(newer: Deployment, superseded: Iterable[str]) -> None:
    for deployment in superseded:
        log.get("registry").info("Deployment superseded", app=newer.app, deployment=deployment, by=newer.id)


def _commit_columns(deployment: Deployment, commit: Commit) -> dict[str, str | None]:
    """A rollback keeps the tag of what it repeats."""
    columns = {"commit_id": commit.id, "author": commit.author, "message": commit.message}
    return {**columns, "tag": commit.tag or deployment.tag}


def _describe_commit(commit: Commit) -> str:
    return f"commit {commit.id[:12]}" + (f", tag {commit.tag}" if commit.tag else "")


async def _start_or_wait(
    conn: Connection,
    deployment: Deployment,
    steps: StepHistory,
    catalog: Catalog,
    now: float,
    secret_sources: Mapping[str, str],
) -> StartResult:
    """Set the deployment to `starting` if all secrets have values; else only record what it waits for."""
    steps = steps.start("secrets", now)
    if reasons := await _list_missing_values(conn, deployment.app, catalog, secret_sources):
        steps = steps.wait("; ".join(reasons))
        if StepHistory(deployment.steps).waiting_reason != steps.waiting_reason:
            await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.steps)
        return StartResult(steps.waiting_reason)
    await deployments.update_if_status(conn, deployment.id, PENDING_ONLY, status="starting")
    steps = steps.finish(now).start("announce", now).finish(now)
    await deployments.replace_steps(conn, deployment.id, REGISTRY, steps.steps)
    superseded = await deployments.supersede_older(conn, deployment.app, "starting", deployment.seq, now)
    await access_feed.record_change(conn, deployment.app)
    return StartResult(None, tuple(superseded))


async def _list_missing_values(conn: Connection, app: str, catalog: Catalog, sources: Mapping[str, str]) -> list[str]:
    stored = await secrets.list_secrets(conn, app)
    declared = {name: catalog.secrets.get(name) or secret.keys for name, secret in stored.items()}
    keys_set = {name: secret.keys_set for name, secret in stored.items()}
    return secret_usage.list_missing_values(app, secret_usage.list_used_secrets(catalog), declared, keys_set, sources)
