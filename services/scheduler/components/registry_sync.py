"""Takes in what the registry decided: revisions to roll out, who may call. Pulled, so that no lost message matters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field, ValidationError

from libs.common.db import clock
from libs.common.errors import Conflict, NotFound
from libs.common.http.tolerant_list import Each
from libs.common.log import get
from libs.common.manifests.catalog import Catalog
from libs.common.periodic_task import for_each
from libs.common.protocol.message import Message
from services.scheduler.components import reconciler
from services.scheduler.db import apps, counters, rollouts
from services.scheduler.dependencies import Parts
from services.scheduler.model.rollout import Rollout

ACCESS = "access"
WHY_LENGTH = 500


class Revision(Message):
    id: str
    app: str
    commit: str
    catalog: dict[str, Any]


class Revisions(Message):
    items: Each[Revision] = ()


class Access(Message):
    users: dict[str, dict[str, str]] = Field(default_factory=dict)
    keys: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, Any] = Field(default_factory=dict)


class Feed(Message):
    version: int
    apps: dict[str, Any] = Field(default_factory=dict)


async def step(parts: Parts) -> set[str]:
    """The apps for which something is new.

    What is to start is asked for before who may call, and taken in after: no revision goes live without its users.
    """
    answer = await parts.peers.registry.get("/internal/deployments", status="starting")
    return await access(parts) | await revisions(parts, Revisions.model_validate(answer).items)


async def revisions(parts: Parts, items: Iterable[Revision]) -> set[str]:
    changed: set[str] = set()

    async def take(item: Revision) -> None:
        if why := unreadable(item.catalog):
            await _refuse(parts, item, why)
        elif await _add(parts, item):
            changed.add(item.app)

    await for_each(items, take, lambda item: item.id)
    return changed


def unreadable(catalog: dict[str, Any]) -> str | None:
    """Why this release cannot work with a revision, if it cannot."""
    try:
        Catalog.from_json(catalog)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"the scheduler cannot read this revision: {error}"[:WHY_LENGTH]
    return None


async def _refuse(parts: Parts, item: Revision, why: str) -> None:
    get("scheduler").error("a revision is refused", app=item.app, deployment=item.id, why=why)
    body = {"status": "failed", "errors": [{"message": why}]}
    try:
        await parts.peers.registry.post(f"/internal/deployments/{item.id}/report", body)
    except (NotFound, Conflict):
        return  # the app is gone, or a newer deployment has taken its place


async def _add(parts: Parts, item: Revision) -> bool:
    """Whether it is new."""
    async with parts.db.write() as c:
        rollout = Rollout(
            deployment=item.id,
            app=item.app,
            commit=item.commit,
            status="starting",
            catalog=item.catalog,
            created_at=await clock(c),
        )
        added = await rollouts.add_rollout(c, rollout)
        if added:
            await apps.put(c, item.app, {})
    return added


async def access(parts: Parts) -> set[str]:
    async with parts.db.read() as c:
        since = await counters.get_counter(c, ACCESS)
    feed = Feed.model_validate(await parts.peers.registry.get("/internal/access", since=since))
    changed: set[str] = set()

    async def take(name: str) -> None:
        found = feed.apps[name]
        if found is None:
            await reconciler.remove(parts, name)
        elif _readable(name, found):
            async with parts.db.write() as c:
                await apps.put(c, name, {"access": found})
            changed.add(name)

    await for_each(feed.apps, take)
    if feed.version != since:
        async with parts.db.write() as c:
            await counters.set_counter(c, ACCESS, feed.version)
    return changed


def _readable(app: str, found: Any) -> bool:
    try:
        Access.model_validate(found)
    except ValidationError as error:
        get("scheduler").error("who may call an app is left as it was", app=app, why=str(error)[:WHY_LENGTH])
        return False
    return True
