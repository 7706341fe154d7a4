"""`/api/v1/tokens`: credentials of operators and developers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from libs.common.db import clock
from libs.common.errors import Conflict, NotFound
from libs.common.manifests import quantities
from services.registry.db import tokens
from services.registry.dependencies import Here, Who
from services.registry.secrets import tokens as secret_texts

router = APIRouter(prefix="/api/v1/tokens")


class NewToken(BaseModel):
    """`expires_in` is a number of seconds or a duration such as 30m."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=f"^{secret_texts.NAME.pattern}$")]
    scopes: tuple[str, ...]
    expires_in: Annotated[float, Field(gt=0), BeforeValidator(quantities.seconds)] | None = None


@router.get("")
async def listed(parts: Here, who: Who) -> dict[str, Any]:
    who.require("admin")
    async with parts.database.read() as c:
        found = await tokens.listed(c)
    return {"items": [token.shown() for token in found], "next": None}


@router.post("", status_code=201)
async def create(body: NewToken, parts: Here, who: Who) -> dict[str, Any]:
    """The token itself is in this answer and nowhere else."""
    who.require("admin")
    scopes, text = secret_texts.checked_scopes(body.scopes), secret_texts.make("mlmesh")
    async with parts.database.write() as c:
        now = await clock(c)
        expires_at = now + body.expires_in if body.expires_in is not None else None
        token = tokens.Token(secret_texts.new_id(), body.name, secret_texts.hashed(text), scopes, now, expires_at)
        if body.name == secret_texts.ADMIN_NAME or not await tokens.add(c, token):
            raise Conflict(f'there is a token "{body.name}" already')
    return {**token.shown(), "token": text}


@router.delete("/{token}", status_code=204)
async def delete(token: str, parts: Here, who: Who) -> None:
    """By id or by name. The gateway forgets it within a second."""
    who.require("admin")
    async with parts.database.write() as c:
        if not await tokens.remove(c, token):
            raise NotFound("there is no such token")
