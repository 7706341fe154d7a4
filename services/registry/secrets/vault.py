"""Encrypts secret values at rest (AES-256-GCM) and hashes passwords (argon2id).

App, name and key are associated data: a row that is copied elsewhere cannot be decrypted.
"""

from __future__ import annotations

from libs.common.encryption import Encryptor
from libs.common.errors import MeshError
from libs.common.passwords import HASHER

FORMAT_VERSION = b"\x01"


class DecryptionFailed(MeshError):
    """A secret value cannot be decrypted: MLMESH_SECRET_KEY is not the one with which it was stored."""


PURPOSE = "registry secrets"


class Vault:
    """Encrypts with `secret_key`; opens what `old_key` has encrypted, too, unless it is empty."""

    def __init__(self, secret_key: str, old_key: str = "") -> None:
        self._sealer = Encryptor(secret_key, PURPOSE)
        self._old_sealer = Encryptor(old_key, PURPOSE) if old_key else None

    def encrypt(self, app: str, name: str, key: str, value: str) -> bytes:
        return FORMAT_VERSION + self._sealer.encrypt(value.encode(), _associated_data(app, name, key))

    def decrypt(self, app: str, name: str, key: str, encrypted: bytes) -> str:
        ciphertext, place = encrypted[len(FORMAT_VERSION) :], _associated_data(app, name, key)
        try:
            return self._sealer.decrypt(ciphertext, place).decode()
        except ValueError as error:
            if self._old_sealer is None:
                raise DecryptionFailed() from error
        try:
            return self._old_sealer.decrypt(ciphertext, place).decode()
        except ValueError as error:
            raise DecryptionFailed() from error

    def reencrypt(self, app: str, name: str, key: str, encrypted: bytes) -> bytes | None:
        """The same value with the current key; None if it has that key already. Raises DecryptionFailed."""
        try:
            self._sealer.decrypt(encrypted[len(FORMAT_VERSION) :], _associated_data(app, name, key))
        except ValueError:
            return self.encrypt(app, name, key, self.decrypt(app, name, key, encrypted))
        return None


def _associated_data(app: str, name: str, key: str) -> bytes:
    return b"\0".join(part.encode() for part in (app, name, key))


def hash_password(value: str) -> str:
    """An argon2id hash. Takes milliseconds of CPU: call it in a thread."""
    return HASHER.hash(value)
