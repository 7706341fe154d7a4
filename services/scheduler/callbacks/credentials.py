"""Credentials that the database must not hold in clear; their keys are derived from the internal token of the services.

Headers of callbacks are stored sealed (AES-256-GCM): what was sealed for one run opens for no other. The token that an
instance asks its callers for is not stored: it is computed from the instance's name whenever it is needed.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from libs.common.encryption import Sealer, Unopenable
from services.scheduler.model.task import Task

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


def instance_token(internal_token: str, task: Task) -> str:
    """What calls to the instance have to show; an instance that an earlier release started keeps what it was given."""
    if given := task.spec.get("instance_token"):
        return str(given)
    return _derived_token(internal_token, task.id)


def with_tokens(internal_token: str, app: Mapping[str, Any]) -> dict[str, Any]:
    """An app's document of the routing table, with the token of each endpoint."""
    components = {
        name: {**one, "endpoints": [_with_token(internal_token, endpoint) for endpoint in one["endpoints"]]}
        for name, one in app.get("components", {}).items()
    }
    return {**app, "components": components}


def _with_token(internal_token: str, endpoint: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": _derived_token(internal_token, endpoint["id"]), **endpoint}


def _derived_token(internal_token: str, instance: str) -> str:
    mac = hmac.digest(internal_token.encode(), f"mlmesh instance token 1\0{instance}".encode(), sha256)
    return urlsafe_b64encode(mac[:24]).decode()
