"""Encrypts new values of a Secret: only those that differ, as an equal value must not restart components."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from services.registry.db.secrets import EncryptedValue
from services.registry.secrets.reader import SecretReader
from services.registry.secrets.vault import Vault, hash_password

USER = re.compile(r"[A-Za-z0-9._@-]{1,64}")
MAX_PASSWORD = 256
"""Characters; a longer value is a key or a file and gets no verifier."""
MAX_VALUE = 64 * 1024


async def encrypt_changed(
    vault: Vault, reader: SecretReader, app: str, name: str, new_values: Mapping[str, str | None]
) -> dict[str, EncryptedValue | None]:
    """None deletes a key."""
    current = await reader.get_readable_values(app, name)
    changed = {key: value for key, value in new_values.items() if current.get(key) != value}
    return await asyncio.to_thread(_encrypt_values, vault, app, name, changed)


def _encrypt_values(
    vault: Vault, app: str, name: str, new_values: Mapping[str, str | None]
) -> dict[str, EncryptedValue | None]:
    def encrypt_value(key: str, value: str) -> EncryptedValue:
        password = USER.fullmatch(key) and len(value) <= MAX_PASSWORD
        return EncryptedValue(vault.encrypt(app, name, key, value), hash_password(value) if password else None)

    return {key: encrypt_value(key, value) if value is not None else None for key, value in new_values.items()}
