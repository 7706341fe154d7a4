"""Push webhooks: detects the forge, verifies its signature, parses the push. Pure.

Signatures are verified on the raw bytes, before parsing. Formats: GitHub "Validating webhook deliveries", Gitea
"Webhooks"; Forgejo and Gogs sign like Gitea, with their own header names.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs

from libs.common.errors import Malformed

MAX_BODY_BYTES = 1_000_000
BRANCH_PREFIX = "refs/heads/"
Kind = Literal["ping", "push", "deletion", "other"]


@dataclass(frozen=True)
class Forge:
    """A forge's header names in lower case, and the prefix of its hex digest."""

    name: str
    signature: str
    event: str
    delivery: str
    prefix: str = ""


FORGES = (
    Forge("forgejo", "x-forgejo-signature", "x-forgejo-event", "x-forgejo-delivery"),
    Forge("gitea", "x-gitea-signature", "x-gitea-event", "x-gitea-delivery"),
    Forge("gogs", "x-gogs-signature", "x-gogs-event", "x-gogs-delivery"),
    Forge("github", "x-hub-signature-256", "x-github-event", "x-github-delivery", prefix="sha256="),
)
"""The most specific first: Gitea and Forgejo also send the headers of the forges they derive from."""


@dataclass(frozen=True)
class Push:
    """A parsed delivery. `commit` is the forge's hint about the new head; Git decides."""

    kind: Kind
    branch: str | None = None
    commit: str | None = None


def detect_forge(headers: Mapping[str, str]) -> Forge | None:
    """The forge that sent these headers (any case), by its signature header."""
    header_names = {name.lower() for name in headers}
    return next((forge for forge in FORGES if forge.signature in header_names), None)


def is_signature_valid(forge: Forge, headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Verify the HMAC of `body`. Nothing is valid for an empty secret."""
    signature = _get_header(headers, forge.signature)
    expected = forge.prefix + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return bool(secret) and hmac.compare_digest(signature.encode(), expected.encode())


def parse_bearer_token(header: str) -> str | None:
    """The token of an `Authorization: Bearer …` header."""
    scheme, _, token = header.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def get_delivery_id(forge: Forge, headers: Mapping[str, str]) -> str | None:
    return _get_header(headers, forge.delivery)[:200] or None


def parse_push(forge: Forge | None, headers: Mapping[str, str], body: bytes) -> Push:
    """Parse the delivery; without a forge (bearer token) an empty body means a push to any branch.

    Raises Malformed when the body does not have the format of the forge's events.
    """
    event = _get_header(headers, forge.event) if forge else "push"
    if event == "ping":
        return Push("ping")
    if event != "push":
        return Push("other")
    return _parse_push_document(_parse_document(headers, body) if forge or body.strip() else {})


def _parse_push_document(document: Mapping[str, Any]) -> Push:
    ref, commit = document.get("ref"), document.get("after")
    if ref is None:
        return Push("push", commit=_parse_commit(commit))
    if not isinstance(ref, str):
        raise Malformed("the webhook's ref is not text")
    if not ref.startswith(BRANCH_PREFIX):
        return Push("other")
    branch = ref.removeprefix(BRANCH_PREFIX)
    if document.get("deleted") is True or (isinstance(commit, str) and commit and not commit.strip("0")):
        return Push("deletion", branch)
    return Push("push", branch, _parse_commit(commit))


def _parse_commit(value: object) -> str | None:
    fits = isinstance(value, str) and len(value) in (40, 64) and all(letter in "0123456789abcdef" for letter in value)
    return str(value) if fits else None


def _parse_document(headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
    """The JSON object; GitHub may also send it as a form field."""
    try:
        if _get_header(headers, "content-type").startswith("application/x-www-form-urlencoded"):
            body = parse_qs(body.decode(), strict_parsing=True)["payload"][0].encode()
        document = json.loads(body)
    except (ValueError, KeyError, RecursionError) as error:
        raise Malformed("the webhook's body is not a JSON object") from error
    if not isinstance(document, dict):
        raise Malformed("the webhook's body is not a JSON object")
    return document


def _get_header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "")
