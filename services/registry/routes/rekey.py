"""`POST /api/v1/secrets/rekey`: the change of the key that encrypts the values of Secrets."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from libs.common import log
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import response_shape
from services.registry.dependencies import CallerDep, DependenciesDep
from services.registry.secrets.rekeying import rekey_all

router = DocumentedRouter(prefix="/api/v1/secrets", tags=["secrets"])


@response_shape
class UnreadableValueJson(TypedDict):
    """A value that neither key opens; `name` and `key` are null for the generated webhook secret of an app."""

    app: Annotated[str, Field(examples=["texts"])]
    name: Annotated[str | None, Field(examples=["users"])]
    key: Annotated[str | None, Field(examples=["alice"])]


@response_shape
class RekeyJson(TypedDict):
    """How many values have a new encryption."""

    reencrypted: int
    current: int
    """Values that had the current key already."""
    unreadable: list[UnreadableValueJson]


@router.post("/rekey", summary="Encrypt all values with the current key")
async def rekey_secrets(deps: DependenciesDep, caller: CallerDep) -> RekeyJson:
    """Values of every app that MLMESH_SECRET_KEY_OLD opens are encrypted with MLMESH_SECRET_KEY. Repeat it at will."""
    caller.require_scope("admin")
    result = await rekey_all(deps.database, deps.vault)
    counts = {"reencrypted": result.reencrypted, "current": result.current, "unreadable": len(result.unreadable)}
    log.get("registry").info("Secrets rekeyed", **counts)
    unreadable: list[UnreadableValueJson] = [
        {"app": value.app, "name": value.name or None, "key": value.key or None} for value in result.unreadable
    ]
    return {"reencrypted": result.reencrypted, "current": result.current, "unreadable": unreadable}
