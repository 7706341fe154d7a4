"""`/api/v1/apps/{ns}/secrets`: write-only values of secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from typing_extensions import TypedDict

from libs.common.db import database_time
from libs.common.errors import Conflict, Invalid, NotFound
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import Page, Time, response_shape
from libs.common.manifests.fields import Name
from libs.common.manifests.messages import closest_name
from libs.common.manifests.secret import Key
from libs.common.times import iso_time
from services.registry.checks.secret_usage import list_used_secrets
from services.registry.db import Connection, access_feed, apps, deployments, secrets
from services.registry.db.secrets import Secret
from services.registry.dependencies import AppNotFound, CallerDep, Dependencies, DependenciesDep
from services.registry.secrets.new_values import MAX_VALUE, encrypt_changed
from services.registry.secrets.sources import find_source

router = DocumentedRouter(prefix="/api/v1/apps/{ns}/secrets", tags=["secrets"])
MAX_KEYS = 256


def _check_encodable(value: SecretStr) -> SecretStr:
    """JSON can contain a lone surrogate, which has no encoding."""
    try:
        value.get_secret_value().encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds a lone surrogate, which is no character") from error
    return value


Value = Annotated[SecretStr, AfterValidator(_check_encodable)]


class SecretValues(BaseModel):
    """Other keys keep their values; null deletes a key."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    data: Annotated[
        dict[Key, Value | None], Field(min_length=1, max_length=MAX_KEYS, examples=[{"alice": "late-again-7"}])
    ]


@response_shape
class SecretJson(TypedDict):
    """A secret, without its values."""

    name: Annotated[str, Field(examples=["users"])]
    keys: Annotated[list[str], Field(examples=[["alice"]])]
    """The keys that have a value."""
    missing: list[str]
    """Declared keys without a value."""
    undeclared: list[str]
    """Keys with a value that is not declared any more."""
    version: int
    """Incremented with every change of a value."""
    updated_at: Time | None


@router.get("")
async def list_secrets(ns: str, deps: DependenciesDep, caller: CallerDep) -> Page[SecretJson]:
    caller.require_scope("read", ns)
    async with deps.database.read() as conn:
        if await apps.get(conn, ns) is None:
            raise AppNotFound(ns)
        stored = await secrets.list_secrets(conn, ns)
    return {"items": [_secret_to_json(secret) for secret in stored.values()], "next": None}


def _secret_to_json(secret: Secret) -> SecretJson:
    return {
        "name": secret.name,
        "keys": sorted(secret.keys_set),
        "missing": [key for key in secret.keys if key not in secret.keys_set],
        "undeclared": sorted(key for key in secret.keys_set if not secret.declares_key(key)),
        "version": secret.version,
        "updated_at": iso_time(secret.updated_at),
    }


@router.put("/{name}", status_code=204)
async def put_secret(ns: str, name: Name, body: SecretValues, deps: DependenciesDep, caller: CallerDep) -> None:
    caller.require_scope("develop", ns)
    new_values = {key: value.get_secret_value() if value is not None else None for key, value in body.data.items()}
    if too_long := next(
        (key for key, value in new_values.items() if value is not None and len(value) > MAX_VALUE), None
    ):
        raise Invalid(f"the value of {too_long} is longer than {MAX_VALUE} characters")
    _check_set_here(deps, ns, name)
    changed = await encrypt_changed(deps.vault, deps.secret_reader, ns, name, new_values)
    async with deps.database.write() as conn:
        if await apps.get(conn, ns, lock=True) is None:
            raise AppNotFound(ns)
        declared = await secrets.list_secrets(conn, ns)
        if name in declared or await deployments.has_revision(
            conn, ns
        ):  # unknown until the manifests were read from Git
            check_declared(ns, name, [key for key, value in new_values.items() if value is not None], declared)
        if not changed:
            return
        await secrets.put_values(conn, ns, name, changed, await database_time(conn))
        await access_feed.record_change(conn, ns)
    deps.publish_access_change(ns)


def _check_set_here(deps: Dependencies, ns: str, name: str) -> None:
    """Raises Conflict for a Secret whose values come from a source of the operator's."""
    if source := find_source(deps.settings.secret_sources, ns, name):
        raise Conflict(f'the values of secret "{name}" come from {source} on the host of the mesh; change them there')


def check_declared(ns: str, name: str, keys: Iterable[str], declared: Mapping[str, Secret]) -> None:
    """Raises NotFound for a Secret that is not declared, Invalid for a key that the declaration does not name."""
    if name not in declared:
        guess = closest_name(name, tuple(declared))
        advice = f'did you mean "{guess}"?' if guess else "declare it in the repository, or with: mlmesh apply"
        raise NotFound(f'{ns} declares no secret "{name}"; {advice}')
    secret = declared[name]
    wrong = next((key for key in keys if not secret.declares_key(key)), None)
    if wrong is not None:
        guess = closest_name(wrong, secret.keys)
        advice = f'did you mean "{guess}"?' if guess else "add it where the secret is declared"
        raise Invalid(f'secret "{name}" declares no key "{wrong}", only {", ".join(secret.keys)}; {advice}')


@router.delete("/{name}/{key}", status_code=204)
async def delete_secret_key(ns: str, name: str, key: str, deps: DependenciesDep, caller: CallerDep) -> None:
    """Delete one key."""
    caller.require_scope("develop", ns)
    _check_set_here(deps, ns, name)
    async with deps.database.write() as conn:
        if await apps.get(conn, ns, lock=True) is None:
            raise AppNotFound(ns)
        secret = (await secrets.list_secrets(conn, ns)).get(name)
        if secret is None or key not in secret.keys_set:
            raise NotFound(f'secret "{name}" has no value for "{key}"')
        await secrets.put_values(conn, ns, name, {key: None}, await database_time(conn))
        await access_feed.record_change(conn, ns)
    deps.publish_access_change(ns)


@router.delete("/{name}", status_code=204)
async def delete_secret(ns: str, name: str, deps: DependenciesDep, caller: CallerDep) -> None:
    """Delete its values. What the live deployment uses stays declared: its version must not begin again."""
    caller.require_scope("develop", ns)
    _check_set_here(deps, ns, name)
    async with deps.database.write() as conn:
        if await _is_used(conn, ns, name):
            existed = await secrets.forget_values(conn, ns, name, await database_time(conn))
        else:
            existed = await secrets.remove(conn, ns, name)
        if not existed:
            raise NotFound(f'{ns} has no secret "{name}"')
        await access_feed.record_change(conn, ns)
    deps.publish_access_change(ns)


async def _is_used(conn: Connection, ns: str, name: str) -> bool:
    catalog = await deployments.get_live_catalog(conn, ns)
    return catalog is not None and (name in catalog.secrets or name in list_used_secrets(catalog))
