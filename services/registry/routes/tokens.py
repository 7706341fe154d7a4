"""`/api/v1/tokens`: credentials of operators and developers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from libs.common.db import database_time
from libs.common.errors import Conflict, NotFound
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import Page, response_shape
from libs.common.manifests import quantities
from services.registry import token_texts
from services.registry.db import tokens
from services.registry.db.ids import new_id
from services.registry.dependencies import CallerDep, DependenciesDep

router = DocumentedRouter(prefix="/api/v1/tokens", tags=["tokens"])


@response_shape
class CreatedTokenJson(tokens.TokenJson):
    """A new token, with its text."""

    token: str


class NewToken(BaseModel):
    """`expires_in` is a number of seconds or a duration such as 30m; without it the token does not expire."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=f"^{token_texts.NAME.pattern}$", examples=["ada-laptop"])]
    scopes: Annotated[tuple[str, ...], Field(examples=[["write:texts"]])]
    expires_in: Annotated[float, Field(gt=0), BeforeValidator(quantities.parse_duration)] | None = None


@router.get("")
async def list_tokens(deps: DependenciesDep, caller: CallerDep) -> Page[tokens.TokenJson]:
    caller.require_scope("admin")
    async with deps.database.read() as conn:
        rows = await tokens.list_tokens(conn)
    return {"items": [token.to_json() for token in rows], "next": None}


@router.post("", status_code=201)
async def create_token(body: NewToken, deps: DependenciesDep, caller: CallerDep) -> CreatedTokenJson:
    """The token is only in this response; its hash is stored."""
    caller.require_scope("admin")
    scopes, text = token_texts.validate_scopes(body.scopes), token_texts.new_token("mlmesh")
    async with deps.database.write() as conn:
        now = await database_time(conn)
        expires_at = now + body.expires_in if body.expires_in is not None else None
        token = tokens.Token(new_id(), body.name, token_texts.hash_token(text), scopes, now, expires_at)
        if body.name == token_texts.ADMIN_NAME or not await tokens.add(conn, token):
            raise Conflict(f'there is a token "{body.name}" already')
    return {**token.to_json(), "token": text}


@router.delete("/{token}", status_code=204)
async def delete_token(token: str, deps: DependenciesDep, caller: CallerDep) -> None:
    """By id or by name. The gateway stops accepting it within a second."""
    caller.require_scope("admin")
    async with deps.database.write() as conn:
        if not await tokens.remove(conn, token):
            raise NotFound("there is no such token")
