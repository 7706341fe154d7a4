"""Reads and decrypts the values of Secrets."""

from __future__ import annotations

from contextlib import suppress

from libs.common.db import Database
from services.registry.apps import WEBHOOK_KEY, Repository
from services.registry.db import secrets
from services.registry.secrets.vault import DecryptionFailed, Vault

GENERATED_WEBHOOK = "(webhook)"
"""Names the generated webhook secret in the vault; not a valid name of a Secret."""


class SecretReader:
    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def get_values(self, app: str, name: str) -> dict[str, str]:
        """A Secret's decrypted values. Only Git and the worker that starts a task may receive them."""
        async with self._database.read() as conn:
            encrypted = await secrets.get_values(conn, app, name)
        return {key: self._vault.decrypt(app, name, key, value) for key, value in encrypted.items()}

    async def get_readable_values(self, app: str, name: str) -> dict[str, str]:
        """Those that can be decrypted, for who replaces the others."""
        async with self._database.read() as conn:
            encrypted = await secrets.get_values(conn, app, name)
        values = {}
        for key, value in encrypted.items():
            with suppress(DecryptionFailed):
                values[key] = self._vault.decrypt(app, name, key, value)
        return values

    async def get_webhook_secret(self, repository: Repository) -> str:
        """Empty when the Secret that signs webhooks has no value yet."""
        if repository.webhook_secret is not None:
            return (await self.get_values(repository.app, repository.webhook_secret)).get(WEBHOOK_KEY, "")
        if repository.encrypted_webhook_secret is None:
            return ""
        return self._vault.decrypt(repository.app, GENERATED_WEBHOOK, WEBHOOK_KEY, repository.encrypted_webhook_secret)
