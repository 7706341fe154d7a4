"""What is written while a deployment goes on: each call is one transaction, in which nobody else writes of this app.

Raises Overtaken when the deployment is not `pending` any more: a newer one, another replica, or a delete was first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from libs.common import log
from libs.common.db import Database, clock
from libs.common.manifests import Problem
from libs.common.manifests.catalog import Catalog
from services.registry.checks import secret_usage
from services.registry.checks.problems import shown
from services.registry.db import Connection, access_feed, apps, deployments, secrets
from services.registry.db.deployments import REGISTRY
from services.registry.deployments.state import PENDING, Deployment, Steps
from services.registry.git.cache import Commit


class Overtaken(Exception):
    """This deployment is not ours to go on with."""


class Journal:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def _turn(self, deployment: Deployment) -> AsyncIterator[tuple[Connection, float]]:
        """A transaction and its time."""
        async with self._database.write() as c:
            if await apps.get(c, deployment.app, lock=True) is None:
                raise Overtaken
            if not await deployments.hold(c, deployment.id, PENDING):
                raise Overtaken
            yield c, await clock(c)

    async def begin(self, deployment: Deployment) -> Steps:
        """The fetch begins; older deployments that would ask Git the same are not needed any more."""
        async with self._turn(deployment) as (c, now):
            await deployments.supersede_asking(c, deployment.app, deployment.seq, now)
            steps = Steps().begun("fetch", now)
            await deployments.put_steps(c, deployment.id, REGISTRY, steps.all)
        _log(deployment, "deployment began")
        return steps

    async def wait(self, deployment: Deployment, reason: str) -> None:
        """The fetch waits for Git credentials."""
        if Steps(deployment.steps).reason == reason:
            return
        async with self._turn(deployment) as (c, now):
            await deployments.supersede_asking(c, deployment.app, deployment.seq, now)
            steps = Steps().begun("fetch", now).waiting(reason)
            await deployments.put_steps(c, deployment.id, REGISTRY, steps.all)
        _log(deployment, "deployment waits", why=reason)

    async def fetched(self, deployment: Deployment, steps: Steps, commit: Commit) -> Steps:
        async with self._turn(deployment) as (c, now):
            steps = steps.ended(now, detail=f"commit {commit.id[:12]}").begun("validate", now)
            await deployments.change(c, deployment.id, PENDING, **_facts(commit))
            await deployments.put_steps(c, deployment.id, REGISTRY, steps.all)
            if deployment.pinned is None:
                await apps.saw(c, deployment.app, head=commit.id, abandoned=None, poll_error=None)
        return steps

    async def nothing_new(self, deployment: Deployment, steps: Steps, commit: Commit, existing: Deployment) -> None:
        detail = f"the head {commit.id[:12]} brings nothing new: deployment {existing.id} is {existing.status}"
        async with self._turn(deployment) as (c, now):
            await deployments.put_steps(c, deployment.id, REGISTRY, steps.ended(now, detail=detail).all)
            ended = {"status": "superseded", "finished_at": now, **_facts(commit)}
            await deployments.change(c, deployment.id, PENDING, **ended)
            await apps.saw_head(c, deployment.app, commit.id)
        _log(deployment, "deployment brings nothing new", commit=commit.id[:10])

    async def fail(self, deployment: Deployment, steps: Steps, errors: list[dict[str, Any]]) -> None:
        async with self._turn(deployment) as (c, now):
            steps = (steps if steps.all else steps.begun("fetch", now)).ended(now, "failed", errors[0]["message"])
            await deployments.put_steps(c, deployment.id, REGISTRY, steps.all)
            ended = {"status": "failed", "errors": errors, "finished_at": now}
            await deployments.change(c, deployment.id, PENDING, **ended)
        about = {"app": deployment.app, "deployment": deployment.id, "why": errors[0]["message"]}
        log.get("registry").warning("deployment failed", **about)

    async def revise(
        self, deployment: Deployment, steps: Steps, commit: Commit, catalog: Catalog, warnings: list[Problem]
    ) -> bool:
        """Write the revision, end older deployments that still wait, and release it. Whether it is `starting`."""
        async with self._turn(deployment) as (c, now):
            await deployments.supersede(c, deployment.app, "pending", deployment.seq, now)
            for name, keys in catalog.secrets.items():
                await secrets.declare(c, deployment.app, name, keys, now)
            revision = await deployments.add_revision(
                c, deployment.app, commit.id, catalog.to_json(), secret_usage.passwords(catalog), now
            )
            told = [shown(warning) for warning in warnings]
            await deployments.change(c, deployment.id, PENDING, revision=revision, warnings=told)
            steps = steps.ended(now).begun("revision", now).ended(now)
            waits = await release(c, deployment, steps, catalog, now)
        return _released(deployment, waits, warnings=len(warnings))

    async def resume(self, deployment: Deployment, revision: str) -> bool:
        """Go on with one that waited for values of secrets. Whether it is `starting` now."""
        async with self._turn(deployment) as (c, now):
            catalog = Catalog.from_json(await deployments.catalog(c, revision))
            waits = await release(c, deployment, Steps(deployment.steps).until("secrets"), catalog, now)
        return _released(deployment, waits, warnings=len(deployment.warnings))


def _released(deployment: Deployment, waits: str | None, *, warnings: int) -> bool:
    if waits is None:
        _log(deployment, "deployment starts", warnings=warnings)
    elif waits != Steps(deployment.steps).reason:
        _log(deployment, "deployment waits", why=waits)
    return waits is None


def _log(deployment: Deployment, event: str, **more: Any) -> None:
    log.get("registry").info(event, app=deployment.app, deployment=deployment.id, **more)


def _facts(commit: Commit) -> dict[str, Any]:
    return {"commit_id": commit.id, "author": commit.author, "message": commit.message}


async def release(c: Connection, deployment: Deployment, steps: Steps, catalog: Catalog, now: float) -> str | None:
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


async def _missing(c: Connection, app: str, catalog: Catalog) -> list[str]:
    known = await secrets.listed(c, app)
    declared = {name: catalog.secrets.get(name) or secret.keys for name, secret in known.items()}
    present = {name: secret.present for name, secret in known.items()}
    return secret_usage.waiting(app, secret_usage.used(catalog), declared, present)


async def _wait(c: Connection, deployment: Deployment, steps: Steps) -> None:
    if Steps(deployment.steps).reason != steps.reason:
        await deployments.put_steps(c, deployment.id, REGISTRY, steps.all)
