"""Headers of callbacks at rest: they may be credentials, so the database holds them sealed (AES-256-GCM).

The key is derived from the internal token, which only services know. What was sealed for one run opens for no other.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12
KEY_BYTES = 32


def sealed(internal_token: str, run: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The callback of a run as it is stored."""
    if not isinstance(spec["headers"], Mapping):
        return dict(spec)
    nonce = os.urandom(NONCE_BYTES)
    content = nonce + _cipher(internal_token).encrypt(nonce, orjson.dumps(spec["headers"]), run.encode())
    return {**spec, "headers": b64encode(content).decode()}


def headers(internal_token: str, run: str, spec: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a stored callback. Raises ValueError when the token is not the one with which it was stored."""
    if isinstance(spec["headers"], Mapping):  # stored by an earlier release
        return dict(spec["headers"])
    content = b64decode(spec["headers"])
    try:
        opened = _cipher(internal_token).decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], run.encode())
    except InvalidTag as error:
        raise ValueError("its headers cannot be opened: MLMESH_INTERNAL_TOKEN has changed") from error
    found: dict[str, str] = orjson.loads(opened)
    return found


def _cipher(internal_token: str) -> AESGCM:
    kdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"mlmesh callback headers")
    return AESGCM(kdf.derive(internal_token.encode()))
