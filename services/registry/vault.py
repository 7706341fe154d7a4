"""Secret values at rest: AES-256-GCM, bound to their place, and argon2id verifiers for passwords.

A sealed value opens only under the app, name and key for which it was sealed: a row copied elsewhere is worthless.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from libs.common.errors import MeshError
from libs.common.passwords import HASHER

FORM = b"\x01"
NONCE_BYTES = 12
KEY_BYTES = 32


class CannotOpen(MeshError):
    """A secret value cannot be decrypted: MLMESH_SECRET_KEY is not the one with which it was stored."""


class Vault:
    def __init__(self, secret_key: str) -> None:
        kdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"mlmesh registry secrets")
        self._cipher = AESGCM(kdf.derive(secret_key.encode()))

    def seal(self, app: str, name: str, key: str, value: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return FORM + nonce + self._cipher.encrypt(nonce, value.encode(), _place(app, name, key))

    def open(self, app: str, name: str, key: str, sealed: bytes) -> str:
        nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, rest, _place(app, name, key)).decode()
        except (InvalidTag, ValueError) as error:
            raise CannotOpen() from error


def _place(app: str, name: str, key: str) -> bytes:
    return b"\0".join(part.encode() for part in (app, name, key))


def verifier(value: str) -> str:
    """An argon2id hash of `value`. Takes milliseconds of CPU: call it in a thread."""
    return HASHER.hash(value)
