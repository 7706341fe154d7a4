"""Signatures of callback deliveries (Standard Webhooks 1.0). Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac

from libs.common.identity import ANONYMOUS


def signing_secret(key: str, app: str, user: str, run: str) -> str:
    """The key that signs a user's callbacks from an app. Anonymous callers get one for each run, and share none."""
    owner = user if user != ANONYMOUS else f"{user}\0{run}"
    digest = hmac.digest(key.encode(), f"callback\0{app}\0{owner}".encode(), hashlib.sha256)
    return "whsec_" + base64.b64encode(digest).decode()


def sign_delivery(secret: str, delivery_id: str, at: int, body: bytes) -> dict[str, str]:
    """The signature headers of one attempt at `at` (epoch seconds)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{delivery_id}.{at}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
    return {"webhook-id": delivery_id, "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}
