"""Values at rest that only who has the key can read: AES-256-GCM, bound to the place for which they were sealed."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12
KEY_BYTES = 32


class DecryptionFailed(ValueError):
    """It was sealed with another key, or for another place."""


class Encryptor:
    """`purpose` tells the keys apart that are derived from one secret."""

    def __init__(self, secret: str, purpose: str) -> None:
        kdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"mlmesh {purpose}".encode())
        self._cipher = AESGCM(kdf.derive(secret.encode()))

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """A nonce, and what is sealed with it."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, associated_data)

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Raises Unopenable."""
        try:
            return self._cipher.decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], associated_data)
        except (InvalidTag, ValueError) as error:
            raise DecryptionFailed from error
