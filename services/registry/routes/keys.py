"""`/api/v1/apps/{ns}/keys`: API keys; a caller with a key acts as its user."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from libs.common.db import database_time
from libs.common.errors import NotFound
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import Page, response_shape
from libs.common.manifests.fields import UserName
from services.registry import token_texts
from services.registry.db import access_feed, apps, tokens
from services.registry.dependencies import AppNotFound, CallerDep, DependenciesDep

router = DocumentedRouter(prefix="/api/v1/apps/{ns}/keys", tags=["keys"])


@response_shape
class CreatedApiKeyJson(tokens.ApiKeyJson):
    """A new API key, with its text."""

    key: str


class NewKey(BaseModel):
    """An API key to create."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: Annotated[UserName, Field(examples=["alice"])]


@router.get("")
async def list_keys(ns: str, deps: DependenciesDep, caller: CallerDep) -> Page[tokens.ApiKeyJson]:
    caller.require_scope("read", ns)
    async with deps.database.read() as conn:
        if await apps.get(conn, ns) is None:
            raise AppNotFound(ns)
        rows = await tokens.list_keys(conn, ns)
    return {"items": [key.to_json() for key in rows], "next": None}


@router.post("", status_code=201)
async def create_key(ns: str, body: NewKey, deps: DependenciesDep, caller: CallerDep) -> CreatedApiKeyJson:
    """The key is only in this response; its hash is stored."""
    caller.require_scope("develop", ns)
    text = token_texts.new_token("mlmesh_key")
    async with deps.database.write() as conn:
        if await apps.get(conn, ns, lock=True) is None:
            raise AppNotFound(ns)
        key = await tokens.add_key(conn, ns, body.user, token_texts.hash_token(text), await database_time(conn))
        await access_feed.record_change(conn, ns)
    deps.publish_access_change(ns)
    return {**key.to_json(), "key": text}


@router.delete("/{key}", status_code=204)
async def revoke_key(ns: str, key: str, deps: DependenciesDep, caller: CallerDep) -> None:
    caller.require_scope("develop", ns)
    async with deps.database.write() as conn:
        if not await tokens.remove_key(conn, ns, key):
            raise NotFound("this app has no such key")
        await access_feed.record_change(conn, ns)
    deps.publish_access_change(ns)
