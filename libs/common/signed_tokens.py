"""Signed tokens: values that another party holds for the mesh and cannot change. Pure.

`TokenSigner` signs links and cursors. `GrantSigner` signs grants, with which a program acts on behalf of a caller: a
component reads its caller's files with the grant of the call, a worker calls a component for a user.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import orjson

TAG_BYTES = 16
GRANT_PURPOSE = b"mlmesh grant 1"
GRANT_HEADER = b"x-mlmesh-grant"
"""The HTTP header that carries a grant."""
GRANT_MARGIN_S = 60.0
"""How much longer than the timeout of its call a grant is valid."""
MAX_CLOCK_SKEW_S = 600.0
"""How far the clocks of two hosts may differ."""

Purpose = Literal["databox link", "databox cursor", "scheduler cursor", "registry cursor"]


class InvalidSignature(Exception):
    """The token was signed with another secret, or for another purpose."""


@dataclass(frozen=True)
class TokenSigner:
    secret: str

    def sign(self, purpose: Purpose, value: Any) -> str:
        """`value` (JSON) and its tag as URL-safe text."""
        body = orjson.dumps(value)
        return urlsafe_b64encode(self._compute_tag(purpose, body) + body).rstrip(b"=").decode()

    def verify(self, purpose: Purpose, token: str) -> Any:
        """The value that was signed. Raises InvalidSignature."""
        try:
            content = b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (NotBase64, ValueError) as error:
            raise InvalidSignature from error
        tag, body = content[:TAG_BYTES], content[TAG_BYTES:]
        if not hmac.compare_digest(tag, self._compute_tag(purpose, body)):
            raise InvalidSignature
        return orjson.loads(body)

    def _compute_tag(self, purpose: Purpose, body: bytes) -> bytes:
        key = _derive_key(self.secret, f"mlmesh {purpose} v1".encode())
        return hmac.digest(key, body, sha256)[:TAG_BYTES]


@dataclass(frozen=True)
class Grant:
    """Permission to act as `user` in `app`: on files of `boxes`, and on one API."""

    app: str
    user: str
    boxes: tuple[str, ...]
    expires: float
    """Epoch seconds, on the clock of the host that signed it."""
    api_path: str = ""
    """The path of the API that may be called; empty: none."""


class GrantSigner:
    def __init__(self, internal_token: str) -> None:
        self._key = _derive_key(internal_token, GRANT_PURPOSE)

    def sign(self, grant: Grant) -> str:
        content = orjson.dumps([grant.app, grant.user, grant.boxes, grant.expires, grant.api_path])
        return f"{urlsafe_b64encode(content).decode()}.{self._compute_mac(content)}"

    def verify(self, text: str, now: float) -> Grant | None:
        """The grant; None when its signature is wrong or it has expired."""
        encoded, _, mac = text.partition(".")
        try:
            content = urlsafe_b64decode(encoded.encode())
        except (NotBase64, ValueError):
            return None
        if not hmac.compare_digest(mac.encode(), self._compute_mac(content).encode()):
            return None
        app, user, boxes, expires, api_path = orjson.loads(content)
        return Grant(app, user, tuple(boxes), expires, api_path) if now < expires + MAX_CLOCK_SKEW_S else None

    def _compute_mac(self, content: bytes) -> str:
        return hmac.digest(self._key, content, sha256).hex()


def _derive_key(secret: str, purpose: bytes) -> bytes:
    """A key of its own for each purpose: a token signed for one is invalid for any other."""
    return hmac.digest(secret.encode(), purpose, sha256)
