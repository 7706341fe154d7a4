"""`/api/v1/apps/{ns}/secrets`: values go in and are never shown again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from libs.common.db import clock
from libs.common.errors import Invalid, NotFound
from libs.common.manifests.fields import Name
from libs.common.manifests.messages import alike
from libs.common.manifests.secret import Key
from libs.common.times import iso
from services.registry.db import access_feed, apps, deployments, secrets
from services.registry.db.secrets import Sealed, Secret
from services.registry.dependencies import Here, NoApp, Parts, Who
from services.registry.secrets.vault import verifier

router = APIRouter(prefix="/api/v1/apps/{ns}/secrets")
USER = re.compile(r"[A-Za-z0-9._@-]{1,64}")
MAX_PASSWORD = 256
"""Characters; what is longer is a key or a file, and gets no verifier."""
MAX_VALUE = 64 * 1024
MAX_KEYS = 256


def _encodable(value: SecretStr) -> SecretStr:
    """JSON can spell half a character, which nothing can store."""
    try:
        value.get_secret_value().encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds a lone surrogate, which is no character") from error
    return value


Value = Annotated[SecretStr, AfterValidator(_encodable)]


class Values(BaseModel):
    """Keys that are not named keep their values; null removes one."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    data: Annotated[dict[Key, Value | None], Field(min_length=1, max_length=MAX_KEYS)]


@router.get("")
async def listed(ns: str, parts: Here, who: Who) -> dict[str, Any]:
    who.require("read", ns)
    async with parts.database.read() as c:
        if await apps.get(c, ns) is None:
            raise NoApp(ns)
        found = await secrets.listed(c, ns)
    return {"items": [_shown(secret) for secret in found.values()], "next": None}


def _shown(secret: Secret) -> dict[str, Any]:
    return {
        "name": secret.name,
        "keys": sorted(secret.present),
        "missing": [key for key in secret.keys if key not in secret.present],
        "undeclared": sorted(key for key in secret.present if not secret.declares(key)),
        "version": secret.version,
        "updated_at": iso(secret.updated_at),
    }


@router.put("/{name}", status_code=204)
async def put(ns: str, name: Name, body: Values, parts: Here, who: Who) -> None:
    who.require("write", ns)
    given = {key: value.get_secret_value() if value is not None else None for key, value in body.data.items()}
    if too_long := next((key for key, value in given.items() if value is not None and len(value) > MAX_VALUE), None):
        raise Invalid(f"the value of {too_long} is longer than {MAX_VALUE} characters")
    changed = await _changed(parts, ns, name, given)
    async with parts.database.write() as c:
        if await apps.get(c, ns, lock=True) is None:
            raise NoApp(ns)
        declared = await secrets.listed(c, ns)
        if name in declared or await deployments.was_read(c, ns):  # until Git was read nobody knows what it declares
            check(ns, name, [key for key, value in given.items() if value is not None], declared)
        if not changed:
            return
        await secrets.put(c, ns, name, changed, await clock(c))
        await access_feed.bump(c, ns)
    parts.access_changed(ns)


def check(ns: str, name: str, keys: Iterable[str], declared: Mapping[str, Secret]) -> None:
    """Raises NotFound for a Secret that is not declared, Invalid for a key that the declaration does not name."""
    if name not in declared:
        guess = alike(name, tuple(declared))
        advice = f'did you mean "{guess}"?' if guess else "declare it in the repository, or with: mlmesh apply"
        raise NotFound(f'{ns} declares no secret "{name}"; {advice}')
    secret = declared[name]
    wrong = next((key for key in keys if not secret.declares(key)), None)
    if wrong is not None:
        guess = alike(wrong, secret.keys)
        advice = f'did you mean "{guess}"?' if guess else "add it where the secret is declared"
        raise Invalid(f'secret "{name}" declares no key "{wrong}", only {", ".join(secret.keys)}; {advice}')


async def _changed(parts: Parts, ns: str, name: str, given: Mapping[str, str | None]) -> dict[str, Sealed | None]:
    """What differs from what is stored: the same value again rolls no component."""
    present = await parts.origins.values(ns, name)
    new = {key: value for key, value in given.items() if present.get(key) != value}
    return await asyncio.to_thread(_sealed, parts, ns, name, new)


def _sealed(parts: Parts, ns: str, name: str, given: Mapping[str, str | None]) -> dict[str, Sealed | None]:
    def one(key: str, value: str) -> Sealed:
        password = USER.fullmatch(key) and len(value) <= MAX_PASSWORD
        return Sealed(parts.vault.seal(ns, name, key, value), verifier(value) if password else None)

    return {key: one(key, value) if value is not None else None for key, value in given.items()}


@router.delete("/{name}/{key}", status_code=204)
async def unset(ns: str, name: str, key: str, parts: Here, who: Who) -> None:
    """One key goes, the others stay."""
    who.require("write", ns)
    async with parts.database.write() as c:
        if await apps.get(c, ns, lock=True) is None:
            raise NoApp(ns)
        found = (await secrets.listed(c, ns)).get(name)
        if found is None or key not in found.present:
            raise NotFound(f'secret "{name}" has no value for "{key}"')
        await secrets.put(c, ns, name, {key: None}, await clock(c))
        await access_feed.bump(c, ns)
    parts.access_changed(ns)


@router.delete("/{name}", status_code=204)
async def delete(ns: str, name: str, parts: Here, who: Who) -> None:
    who.require("write", ns)
    async with parts.database.write() as c:
        if not await secrets.remove(c, ns, name):
            raise NotFound(f'{ns} has no secret "{name}"')
        await access_feed.bump(c, ns)
    parts.access_changed(ns)
