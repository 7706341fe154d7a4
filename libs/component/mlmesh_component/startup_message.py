"""The startup message for a person who started a component by hand: its URL and a curl command. Pure."""

from __future__ import annotations

import json
import shlex

from .api.openapi import example_request
from .function.schema import Schema
from .settings import Settings

_ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound


def local_url(settings: Settings, port: int) -> str:
    """The component's URL on this machine."""
    host = "127.0.0.1" if settings.host in _ANY_ADDRESS else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def format_startup_message(settings: Settings, schema: Schema, port: int) -> str:
    url = local_url(settings, port)
    body = json.dumps(example_request(settings, schema), ensure_ascii=False)
    return (
        f"mlmesh: {settings.inference} is ready on {url} (description: {url}/docs)\n"
        f"try: curl -s {url}/predict -H 'content-type: application/json' -d {shlex.quote(body)}\n"
    )
