"""Push webhooks: which forge speaks, whether its signature is true, and what it says.

Signatures are checked on the raw bytes, before anything is parsed. Forms: GitHub "Validating webhook deliveries",
Gitea "Webhooks"; Forgejo and Gogs sign as Gitea does, each under header names of its own.
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
    """Where a forge writes what: header names in lower case, and what stands before the hex digest."""

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
"""In this order, because Gitea and Forgejo also send the headers of the forges that they came from."""


@dataclass(frozen=True)
class Push:
    """What a delivery says. `commit` is what the forge calls the branch's new head: a hint, Git decides."""

    kind: Kind
    branch: str | None = None
    commit: str | None = None


def detect_forge(headers: Mapping[str, str]) -> Forge | None:
    """The forge whose signature these headers (any case) carry."""
    header_names = {name.lower() for name in headers}
    return next((forge for forge in FORGES if forge.signature in header_names), None)


def is_signature_valid(forge: Forge, headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Whether `body` carries the forge's signature made with `secret`. An empty secret signs nothing."""
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
    """What the delivery announces; without a forge (bearer token) an empty body announces a push to any branch.

    Raises Malformed when the body is not what the forge's events look like.
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
    """The JSON object, which GitHub can also wrap into a form."""
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
