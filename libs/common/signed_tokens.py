"""Values that a caller holds for us and cannot change: links and cursors. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import orjson

TAG_BYTES = 16

Purpose = Literal["databox link", "databox cursor", "scheduler cursor", "registry cursor"]


class Forged(Exception):
    """The token was not made here, or not for this purpose."""


@dataclass(frozen=True)
class Signer:
    secret: str

    def seal(self, purpose: Purpose, value: Any) -> str:
        """`value` (JSON) as URL-safe text."""
        body = orjson.dumps(value)
        return base64.urlsafe_b64encode(self._tag(purpose, body) + body).rstrip(b"=").decode()

    def open(self, purpose: Purpose, token: str) -> Any:
        """The value that was sealed. Raises Forged."""
        try:
            found = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise Forged from error
        tag, body = found[:TAG_BYTES], found[TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(purpose, body)):
            raise Forged
        return orjson.loads(body)

    def _tag(self, purpose: Purpose, body: bytes) -> bytes:
        key = hmac.digest(self.secret.encode(), f"mlmesh {purpose} v1".encode(), sha256)
        return hmac.digest(key, body, sha256)[:TAG_BYTES]
