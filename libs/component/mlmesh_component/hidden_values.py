"""Hides the values of Secrets in texts that leave the component: the text of an exception often has one in it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from urllib.parse import quote

SECRET_VARIABLES = "MLMESH_SECRET_VARIABLES"  # noqa: S105 - the name of a variable
"""JSON list of the environment variables whose values are hidden; the platform sets it."""
MIN_LENGTH = 6
"""Characters; a shorter value is not hidden: it would hide parts of ordinary words. As in logs."""


def hide_values(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """`text` with as many asterisks as a value has letters in its place."""
    forms = {form for value in _read_values(environment) for form in _list_forms(value)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "*" * len(form))
    return text


def _read_values(environment: Mapping[str, str]) -> Iterator[str]:
    try:
        names = json.loads(environment.get(SECRET_VARIABLES) or "[]")
    except ValueError:
        return
    yield from (environment[name] for name in names if isinstance(name, str) and name in environment)


def _list_forms(value: str) -> Iterator[str]:
    """The ways in which messages have a value: each line as it is, in quotes, in a URL; and the whole in Base64."""
    for line in {value, *value.splitlines()}:
        if len(line := line.strip()) >= MIN_LENGTH:
            yield from (line, repr(line)[1:-1], json.dumps(line)[1:-1])
            plain = line.encode(errors="surrogateescape")
            yield from (quote(plain, safe=safe) for safe in ("", "/"))
            yield base64.b64encode(plain).decode().rstrip("=")
