"""Authentication by the instance token, and request ids; for functions and web applications alike."""

from __future__ import annotations

import hmac
import re
import uuid
from collections.abc import Mapping

from ..problems import Unauthorized

OWNER_HEADER = b"x-mlmesh-owner"
"""Header of the gateway that marks a call of an owner of the app."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


class InstanceTokenAuth:
    """Checks the instance token; `required` is False without one."""

    def __init__(self, token: str | None) -> None:
        self._token = token.encode("utf-8") if token else None
        self.required = self._token is not None

    def authenticate(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise `Unauthorized` for a missing or wrong token."""
        token = headers.get(b"x-mlmesh-token", b"")
        if self._token is not None and not hmac.compare_digest(token, self._token):
            raise Unauthorized()

    def is_owner_call(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether an owner of the app calls. The gateway strips this header from requests of callers."""
        return not self.required or OWNER_HEADER in headers


def get_request_id(headers: Mapping[bytes, bytes]) -> str:
    request_id = headers.get(b"x-request-id", b"")
    return request_id.decode("ascii") if _REQUEST_ID.fullmatch(request_id) else uuid.uuid4().hex
