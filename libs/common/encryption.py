"""Authenticated encryption of values at rest: AES-256-GCM, bound to the place where each is stored.

The functions import `cryptography` when they need it: it takes 7 MB, and few schedulers have anything to encrypt.
"""

from __future__ import annotations

import os

NONCE_BYTES = 12
KEY_BYTES = 32


class DecryptionFailed(ValueError):
    """The value was encrypted with another key, or for another place."""


class Encryptor:
    """Encrypts with a key derived from `secret`; another `purpose` gives another key."""

    def __init__(self, secret: str, purpose: str) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        kdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"mlmesh {purpose}".encode())
        self._cipher = AESGCM(kdf.derive(secret.encode()))

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """A random nonce, followed by the ciphertext."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, associated_data)

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Raises DecryptionFailed."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], associated_data)
        except (InvalidTag, ValueError) as error:
            raise DecryptionFailed from error
