"""`/api/v1/apps/{ns}/keys`: API keys of callers, each acting as one user."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from libs.common.db import clock
from libs.common.errors import NotFound
from libs.common.manifests.fields import UserName
from services.registry.db import access_feed, apps, tokens
from services.registry.dependencies import Here, NoApp, Who
from services.registry.secrets import tokens as secret_texts

router = APIRouter(prefix="/api/v1/apps/{ns}/keys")


class NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    user: UserName


@router.get("")
async def listed(ns: str, parts: Here, who: Who) -> dict[str, Any]:
    who.require("read", ns)
    async with parts.database.read() as c:
        if await apps.get(c, ns) is None:
            raise NoApp(ns)
        found = await tokens.keys(c, ns)
    return {"items": [key.shown() for key in found], "next": None}


@router.post("", status_code=201)
async def create(ns: str, body: NewKey, parts: Here, who: Who) -> dict[str, Any]:
    """The key itself is in this answer and nowhere else."""
    who.require("write", ns)
    text = secret_texts.make("mlmesh_key")
    async with parts.database.write() as c:
        if await apps.get(c, ns, lock=True) is None:
            raise NoApp(ns)
        key = await tokens.add_key(c, ns, body.user, secret_texts.hashed(text), await clock(c))
        await access_feed.bump(c, ns)
    parts.access_changed(ns)
    return {**key.shown(), "key": text}


@router.delete("/{key}", status_code=204)
async def delete(ns: str, key: str, parts: Here, who: Who) -> None:
    who.require("write", ns)
    async with parts.database.write() as c:
        if not await tokens.remove_key(c, ns, key):
            raise NotFound("this app has no such key")
        await access_feed.bump(c, ns)
    parts.access_changed(ns)
