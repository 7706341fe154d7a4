"""Encrypts every stored value with the current secret key. Interrupted, both keys still open all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from libs.common import log
from libs.common.db import Database
from services.registry.apps import WEBHOOK_KEY
from services.registry.db import ciphertexts
from services.registry.db.ciphertexts import StoredValue
from services.registry.secrets.reader import GENERATED_WEBHOOK
from services.registry.secrets.vault import DecryptionFailed, Vault

CHECK_INTERVAL_S = 3600.0
ADVICE = "start with the former key in MLMESH_SECRET_KEY_OLD, then: mlmesh secret rekey"


@dataclass
class RekeyResult:
    reencrypted: int = 0
    current: int = 0
    """Values that had the current key already."""
    outdated: int = 0
    """Values that the old key opens."""
    unreadable: list[StoredValue] = field(default_factory=list)
    """Values that neither key opens; they stay as they are."""


async def rekey_all(database: Database, vault: Vault) -> RekeyResult:
    """A value that is set meanwhile has the current key anyway."""
    result = RekeyResult()
    async for batch in _read_batches(database):
        renewed = await asyncio.to_thread(_reencrypt, vault, batch, result)
        async with database.write() as conn:
            for value, ciphertext in renewed:
                result.reencrypted += await ciphertexts.replace(conn, value, ciphertext)
    return result


async def warn_of_unreadable(database: Database, vault: Vault) -> None:
    """Log how many stored values no key opens, if any: the secret key is another one than before."""
    result = RekeyResult()
    async for batch in _read_batches(database):
        await asyncio.to_thread(_reencrypt, vault, batch, result)
    if result.unreadable:
        log.get("registry").error(
            "Secrets unreadable", count=len(result.unreadable), readable=result.current + result.outdated, advice=ADVICE
        )


async def _read_batches(database: Database) -> AsyncIterator[list[StoredValue]]:
    """The generated webhook secrets, then the values of one Secret after another."""
    async with database.read() as conn:
        webhook_secrets, names = await ciphertexts.list_webhook_secrets(conn), await ciphertexts.list_secrets(conn)
    yield webhook_secrets
    for app, name in names:
        async with database.read() as conn:
            values = await ciphertexts.list_values(conn, app, name)
        yield values


def _reencrypt(vault: Vault, batch: list[StoredValue], result: RekeyResult) -> list[tuple[StoredValue, bytes]]:
    """The values that have the old key, with their new ciphertexts; counts the others."""
    renewed = []
    for value in batch:
        place = (
            (value.app, GENERATED_WEBHOOK, WEBHOOK_KEY)
            if value.is_webhook_secret
            else (value.app, value.name, value.key)
        )
        try:
            ciphertext = vault.reencrypt(*place, value.ciphertext)
        except DecryptionFailed:
            result.unreadable.append(value)
        else:
            if ciphertext is None:
                result.current += 1
            else:
                result.outdated += 1
                renewed.append((value, ciphertext))
    return renewed
