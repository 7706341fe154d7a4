"""The rule for request ids, shared by the gateway and all services. Pure."""

from __future__ import annotations

import re
from random import getrandbits

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
"""Request ids that are accepted from a client. The component runtime has the same rule (`mlmesh_component`)."""


def accept_request_id(text: str) -> str:
    """The client's request id if it is valid; otherwise a new one."""
    return text if text and REQUEST_ID.fullmatch(text) else f"{getrandbits(128):032x}"
