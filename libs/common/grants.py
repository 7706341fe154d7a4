"""Grants: what lets a program act as a caller, signed by the platform and shown to the gateway.

A component reaches its caller's files with the grant that came with the call; a worker calls a component for somebody.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass

import orjson

PURPOSE = b"mlmesh grant 1"
GRANT = b"x-mlmesh-grant"
"""The header that carries one."""
MARGIN_S = 60.0
"""How much longer than the call's own timeout a grant is good."""


@dataclass(frozen=True)
class Grant:
    app: str
    user: str
    boxes: tuple[str, ...]
    expires: float
    """Epoch seconds, by the clock of the host that made it."""
    call: str = ""
    """The path of the API that may be called."""


SKEW_S = 600.0
"""How far the clocks of two hosts may be apart."""


class Seal:
    def __init__(self, internal_token: str) -> None:
        self._key = hmac.new(internal_token.encode(), PURPOSE, hashlib.sha256).digest()

    def sealed(self, grant: Grant) -> str:
        content = orjson.dumps([grant.app, grant.user, grant.boxes, grant.expires, grant.call])
        return f"{urlsafe_b64encode(content).decode()}.{self._mac(content)}"

    def opened(self, text: str, now: float) -> Grant | None:
        """The grant, or None when it is not ours or over."""
        encoded, _, mac = text.partition(".")
        try:
            content = urlsafe_b64decode(encoded.encode())
        except (NotBase64, ValueError):
            return None
        if not hmac.compare_digest(mac.encode(), self._mac(content).encode()):
            return None
        app, user, boxes, expires, call = orjson.loads(content)
        return Grant(app, user, tuple(boxes), expires, call) if now < expires + SKEW_S else None

    def _mac(self, content: bytes) -> str:
        return hmac.new(self._key, content, hashlib.sha256).hexdigest()
