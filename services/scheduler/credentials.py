"""Headers of callbacks at rest: they may be credentials, so the database holds them sealed (AES-256-GCM).

The key is derived from the internal token, which only services know. What was sealed for one run opens for no other.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from libs.common.sealing import Sealer, Unopenable

PURPOSE = "callback headers"


def sealed(internal_token: str, run: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The callback of a run as it is stored."""
    if not isinstance(spec["headers"], Mapping):
        return dict(spec)
    content = Sealer(internal_token, PURPOSE).seal(orjson.dumps(spec["headers"]), run.encode())
    return {**spec, "headers": b64encode(content).decode()}


def headers(internal_token: str, run: str, spec: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a stored callback. Raises ValueError when the token is not the one with which it was stored."""
    if isinstance(spec["headers"], Mapping):  # stored by an earlier release
        return dict(spec["headers"])
    try:
        opened = Sealer(internal_token, PURPOSE).open(b64decode(spec["headers"]), run.encode())
    except Unopenable as error:
        raise ValueError("its headers cannot be opened: MLMESH_INTERNAL_TOKEN has changed") from error
    found: dict[str, str] = orjson.loads(opened)
    return found
