"""What a person who pushes is told of the deployment, line by line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from libs.common.db import Database
from services.registry.checks.problems import describe_error
from services.registry.db import deployments
from services.registry.deployments.state import OPEN_STATUSES, Deployment, DeploymentStep
from services.registry.published_apis import list_apis

POLL_INTERVAL_S = 0.1
KEEP_ALIVE_S = 5.0
"""After this time without a line, a proxy on the way needs a sign of life."""
MAX_FOLLOWED_S = 600.0


async def follow_deployment(database: Database, deployment: Deployment, public_url: str) -> AsyncIterator[str | None]:
    """Lines until the deployment has ended or waits for a person; None after each KEEP_ALIVE_S without a line."""
    clock = asyncio.get_running_loop().time
    end, said_at, previous = clock() + MAX_FOLLOWED_S, clock(), deployment
    yield f"deploying, as deployment {deployment.id}"
    while clock() < end:
        async with database.read() as conn:
            current = await deployments.get(conn, deployment.id)
        if current is None:
            yield f"{deployment.app} was deleted"
            return
        for line in describe_change(previous, current):
            said_at = clock()
            yield line
        previous = current
        if (wait := find_wait(current)) is not None:
            yield f"it waits: {wait}; then it goes on by itself"
            return
        if current.status not in OPEN_STATUSES:
            async with database.read() as conn:
                catalog = await deployments.get_catalog(conn, current.revision) if current.revision else None
            apis = list_apis(public_url, current.app, catalog)
            for line in describe_end(current, [api["url"] for api in apis]):
                yield line
            return
        if clock() - said_at > KEEP_ALIVE_S:
            said_at = clock()
            yield None
        await asyncio.sleep(POLL_INTERVAL_S)
    yield f"it has not ended yet; see how it goes on with: mlmesh app show {deployment.app}"


def find_wait(deployment: Deployment) -> str | None:
    """What a person has to do before the deployment goes on, such as setting a secret."""
    last = deployment.steps[-1] if deployment.steps else None
    return last.detail if last is not None and last.status == "waiting" and deployment.status == "pending" else None


def describe_change(previous: Deployment, current: Deployment) -> Iterator[str]:
    """A line for each step that has ended, or says something else, since `previous`."""
    seen = {step.name: step for step in previous.steps}
    for step in current.steps:
        if step != seen.get(step.name) and (line := describe_step(step)) is not None:
            yield line


def describe_step(step: DeploymentStep) -> str | None:
    detail = f": {step.detail}" if step.detail else ""
    if step.status == "succeeded" and step.started_at is not None and step.finished_at is not None:
        return f"  {step.name}{detail} ({step.finished_at - step.started_at:.1f} s)"
    return f"  {step.name}{detail} ..." if step.status == "running" and detail else None


def describe_end(deployment: Deployment, urls: list[str]) -> Iterator[str]:
    app = deployment.app
    match deployment.status:
        case "live":
            yield f"live after {(deployment.live_at or deployment.created_at) - deployment.created_at:.1f} s"
            yield from urls
        case "failed":
            for error in deployment.errors:
                yield describe_error(error)
                log_tail = error.get("log_tail", ())
                yield from (f"  | {line}" for line in log_tail if line not in error["message"])
            yield "the deployment failed; what was live before goes on"
            yield f"the commit is stored: mend the cause and push, or try it again with: mlmesh app sync {app}"
        case _ if is_unchanged(deployment):
            yield "nothing new to deploy"
        case _:
            yield "a newer deployment takes its place"


def is_unchanged(deployment: Deployment) -> bool:
    """Whether its fetch found the commit that is live, or being deployed, already."""
    return [step.name for step in deployment.steps] == ["fetch"] and deployment.steps[0].status == "succeeded"
