"""Proofs that a delivery comes from who knows the webhook's secret. Pure; every comparison takes constant time.

Formats: GitHub "Validating webhook deliveries", Gitea and Gogs "Webhooks", GitLab "Webhook events", Bitbucket "Manage
webhooks", Azure DevOps "Webhooks", https://www.standardwebhooks.com.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from libs.common.errors import Malformed
from services.registry.forges.incoming_delivery import IncomingDelivery

TOLERANCE_S = 300.0
"""How far the time of a Standard Webhook may be from now; within it an id that was seen is a repetition."""
SIGNING_TOKEN_PREFIX = "whsec_"  # noqa: S105  how a Standard Webhooks secret begins


class Proof(Protocol):
    @property
    def header(self) -> str:
        """The header that holds it."""

    @property
    def subject(self) -> str:
        """What it must fit, for the refusal."""

    def is_presented(self, delivery: IncomingDelivery) -> bool: ...

    def is_valid(self, delivery: IncomingDelivery, secret: str, now: float) -> bool:
        """`secret` is not empty; `now` is in epoch seconds. May raise Malformed."""


@dataclass(frozen=True)
class HeaderProof:
    """A proof that is presented when its header is not empty."""

    header: str

    def is_presented(self, delivery: IncomingDelivery) -> bool:
        return bool(delivery.get_header(self.header))


@dataclass(frozen=True)
class BodySignature(HeaderProof):
    """`{prefix}{hex HMAC-SHA256}` of the body as it came, JSON or form."""

    prefix: str = ""
    subject: str = "the body and the webhook's secret"

    def is_valid(self, delivery: IncomingDelivery, secret: str, now: float) -> bool:
        return is_header_equal(delivery.get_header(self.header), self.prefix + _hex_digest(secret, delivery.body))


@dataclass(frozen=True)
class PayloadSignature(HeaderProof):
    """A hex HMAC-SHA256 of the JSON text, also when the body is a form."""

    subject: str = "the payload and the webhook's secret"

    def is_valid(self, delivery: IncomingDelivery, secret: str, now: float) -> bool:
        return is_header_equal(delivery.get_header(self.header), _hex_digest(secret, delivery.payload))


@dataclass(frozen=True)
class SecretToken(HeaderProof):
    """The secret itself."""

    subject: str = "the webhook's secret"

    def is_valid(self, delivery: IncomingDelivery, secret: str, now: float) -> bool:
        return is_header_equal(delivery.get_header(self.header), secret)


@dataclass(frozen=True)
class StandardWebhook(HeaderProof):
    """`v1,{base64 HMAC-SHA256}` of id, time and body; several, separated by spaces, while a secret is replaced."""

    header: str = "webhook-signature"
    subject: str = "the body and the webhook's secret (whsec_…), or it was sent more than 5 minutes ago"

    def is_valid(self, delivery: IncomingDelivery, secret: str, now: float) -> bool:
        key, time = _decode_signing_token(secret), delivery.get_header("webhook-timestamp")
        if not key or not _is_recent(time, now):
            return False
        text = f"{delivery.get_header('webhook-id')}.{time}.".encode("latin-1", "replace") + delivery.body
        expected = "v1," + base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
        signatures = delivery.get_header(self.header).split()
        return any(is_header_equal(signature, expected) for signature in signatures)


@dataclass(frozen=True)
class BasicPassword:
    """`Authorization: Basic` with the secret as the password of any user."""

    header: str = "Authorization"
    subject: str = "the webhook's secret: it is the password"

    def is_presented(self, delivery: IncomingDelivery) -> bool:
        return delivery.get_header(self.header).lower().startswith("basic ")

    def is_valid(self, delivery: IncomingDelivery, secret: str, now: float) -> bool:
        try:
            credentials = base64.b64decode(delivery.get_header(self.header)[6:].strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(credentials.partition(b":")[2], secret.encode())


def is_proven(proofs: Iterable[Proof], delivery: IncomingDelivery, secret: str, now: float) -> bool:
    """Whether one of the proofs that the delivery presents is valid. Nothing is valid for an empty secret."""
    if not secret:
        return False
    try:
        return any(proof.is_presented(delivery) and proof.is_valid(delivery, secret, now) for proof in proofs)
    except Malformed:
        return False


def _hex_digest(secret: str, content: bytes) -> str:
    return hmac.digest(secret.encode(), content, hashlib.sha256).hex()


def is_header_equal(presented: str, expected: str) -> bool:
    """In constant time. `presented` is of a header: text of ISO 8859-1 for bytes that are UTF-8."""
    return hmac.compare_digest(presented.encode("latin-1", "replace"), expected.encode())


def _decode_signing_token(secret: str) -> bytes:
    """The key of a `whsec_…` secret; empty for any other text."""
    encoded = secret.removeprefix(SIGNING_TOKEN_PREFIX)
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True) if encoded != secret else b""
    except (binascii.Error, ValueError):
        return b""


def _is_recent(time: str, now: float) -> bool:
    is_number = time.isascii() and time.isdigit() and len(time) <= 12
    return is_number and abs(now - int(time)) <= TOLERANCE_S
