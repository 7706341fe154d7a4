"""Who may ask, and under which id: the same for functions and for web applications."""

from __future__ import annotations

import hmac
import re
import uuid
from collections.abc import Mapping

from .problems import Unauthorized

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


class Door:
    """`guarded`: only who shows the instance's token comes in."""

    def __init__(self, token: str | None) -> None:
        self._token = token.encode("utf-8") if token else None
        self.guarded = self._token is not None

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Raises `Unauthorized`."""
        given = headers.get(b"x-mlmesh-token", b"")
        if self._token is not None and not hmac.compare_digest(given, self._token):
            raise Unauthorized()


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode("ascii") if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
