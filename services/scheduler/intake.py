"""Takes in what the registry decided: revisions to roll out, who may call. Pulled, so that no lost message matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from libs.common.db import clock
from services.scheduler import rollouts
from services.scheduler.db import apps
from services.scheduler.parts import Parts
from services.scheduler.state import Rollout

ACCESS = "access"


async def step(parts: Parts) -> set[str]:
    """The apps for which something is new.

    What is to start is asked for before who may call, and taken in after: no revision goes live without its users.
    """
    answer = await parts.peers.registry.get("/internal/deployments", status="starting")
    return await access(parts) | await revisions(parts, answer["items"])


async def revisions(parts: Parts, items: Iterable[Mapping[str, Any]]) -> set[str]:
    changed: set[str] = set()
    for item in items:
        async with parts.db.write() as c:
            rollout = Rollout(
                deployment=item["id"],
                app=item["app"],
                commit=item["commit"],
                status="starting",
                catalog=item["catalog"],
                created_at=await clock(c),
            )
            if await apps.add_rollout(c, rollout):
                await apps.put(c, item["app"], {})
                changed.add(item["app"])
    return changed


async def access(parts: Parts) -> set[str]:
    async with parts.db.read() as c:
        since = await apps.counter(c, ACCESS)
    answer = await parts.peers.registry.get("/internal/access", since=since)
    changed: set[str] = set()
    for name, found in answer["apps"].items():
        if found is None:
            await rollouts.remove(parts, name)
            continue
        async with parts.db.write() as c:
            await apps.put(c, name, {"access": found})
        changed.add(name)
    if answer["version"] != since:
        async with parts.db.write() as c:
            await apps.set_counter(c, ACCESS, answer["version"])
    return changed
