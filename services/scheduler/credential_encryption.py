"""Credentials that the database must not hold in clear text; keys are derived from the internal token.

Headers of callbacks are stored sealed (AES-256-GCM): what was sealed for one run opens for no other. The token that an
instance asks its callers for is not stored: it is computed from the instance's name whenever it is needed.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import orjson

from libs.common.encryption import DecryptionFailed, Encryptor
from services.scheduler.model.callback import CallbackRequest
from services.scheduler.model.task import Task

HEADERS_PURPOSE = "callback headers"


def encrypt_headers(internal_token: str, run: str, callback: CallbackRequest) -> CallbackRequest:
    """The callback of a run as it is stored, its headers encrypted."""
    if isinstance(callback.headers, str):
        return callback
    encrypted = Encryptor(internal_token, HEADERS_PURPOSE).encrypt(orjson.dumps(callback.headers), run.encode())
    return replace(callback, headers=b64encode(encrypted).decode())


def decrypt_headers(internal_token: str, run: str, callback: CallbackRequest) -> dict[str, str]:
    """The headers of a stored callback. Raises ValueError when the token is not the one with which it was stored."""
    if not isinstance(callback.headers, str):  # stored by an earlier release
        return dict(callback.headers)
    try:
        decrypted = Encryptor(internal_token, HEADERS_PURPOSE).decrypt(b64decode(callback.headers), run.encode())
    except DecryptionFailed as error:
        raise ValueError("cannot decrypt the callback headers: MLMESH_INTERNAL_TOKEN has changed") from error
    headers: dict[str, str] = orjson.loads(decrypted)
    return headers


def instance_token(internal_token: str, task: Task) -> str:
    """The token that an instance requires of its callers; instances of an earlier release keep their stored token."""
    if task.instance_spec is not None and task.instance_spec.instance_token:
        return task.instance_spec.instance_token
    return _derive_token(internal_token, task.id)


def add_endpoint_tokens(internal_token: str, app_routes: Mapping[str, Any]) -> dict[str, Any]:
    """Stored `AppRoutes` with the token of each endpoint.

    They stay JSON: to read and write the classes for some thousand apps would block other requests for a second.
    """
    components = {
        name: {**component, "endpoints": [_add_token(internal_token, endpoint) for endpoint in component["endpoints"]]}
        for name, component in app_routes["components"].items()
    }
    return {**app_routes, "components": components}


def _add_token(internal_token: str, endpoint: Mapping[str, Any]) -> dict[str, Any]:
    """An instance of an earlier release keeps its stored token."""
    return {"token": _derive_token(internal_token, endpoint["id"]), **endpoint}


def _derive_token(internal_token: str, instance: str) -> str:
    mac = hmac.digest(internal_token.encode(), f"mlmesh instance token 1\0{instance}".encode(), sha256)
    return urlsafe_b64encode(mac[:24]).decode()
