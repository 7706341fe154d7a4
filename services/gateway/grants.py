"""A grant lets a component reach its caller's files: signed by the gateway, given with a call, shown on `files`."""

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
    """Epoch seconds of this host; made and checked by gateways alone."""


class Seal:
    def __init__(self, internal_token: str) -> None:
        self._key = hmac.new(internal_token.encode(), PURPOSE, hashlib.sha256).digest()

    def sealed(self, grant: Grant) -> str:
        content = orjson.dumps([grant.app, grant.user, grant.boxes, grant.expires])
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
        app, user, boxes, expires = orjson.loads(content)
        return Grant(app, user, tuple(boxes), expires) if now < expires else None

    def _mac(self, content: bytes) -> str:
        return hmac.new(self._key, content, hashlib.sha256).hexdigest()
