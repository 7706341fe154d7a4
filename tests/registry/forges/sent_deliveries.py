"""Deliveries as each forge sends them, by its published format: what a test sends to the registry."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.registry.forges.push_documents import (
    COMMIT,
    MAIN,
    ZEROS,
    Document,
    write_azure,
    write_bitbucket,
    write_data_center,
    write_gitea,
    write_github,
    write_gitlab,
    write_pagure,
)

SIGNING_TOKEN = "whsec_" + base64.b64encode(b"a key of thirty-two random bytes").decode()
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
Headers = dict[str, str]


@dataclass(frozen=True)
class SentDelivery:
    body: bytes
    headers: Headers


@dataclass(frozen=True)
class SampleForge:
    """How a forge writes and proves a push. `is_signed`: its proof covers the body."""

    name: str
    write: Callable[[str, str, bool], Document]
    prove: Callable[[bytes, bytes, str], Headers]
    events: Headers
    delivery_header: str = ""
    is_signed: bool = True
    has_forms: bool = False
    secret: str = "the webhook's secret"

    def send(
        self,
        ref: str = MAIN,
        commit: str = COMMIT,
        *,
        deleted: bool = False,
        form: bool = False,
        secret: str | None = None,
        delivery: str = "d-1",
    ) -> SentDelivery:
        document = self.write(ref, ZEROS if deleted else commit, deleted)
        return self.send_document(document, form=form, secret=secret, delivery=delivery)

    def send_document(
        self, document: Any, *, form: bool = False, secret: str | None = None, delivery: str = "d-1"
    ) -> SentDelivery:
        payload = json.dumps(document).encode()
        body = urlencode({"payload": payload}).encode() if form else payload
        headers = {"Content-Type": FORM if form else JSON, **self.events}
        if self.delivery_header:
            headers[self.delivery_header] = delivery
        return SentDelivery(body, {**headers, **self.prove(body, payload, self.secret if secret is None else secret)})


def hex_digest(secret: str, content: bytes) -> str:
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def sign_github(body: bytes, _payload: bytes, secret: str) -> Headers:
    old = hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
    return {"X-Hub-Signature": f"sha1={old}", "X-Hub-Signature-256": f"sha256={hex_digest(secret, body)}"}


def sign_gitea(body: bytes, payload: bytes, secret: str) -> Headers:
    """Gitea signs the payload, in all the headers that it knows; without a secret it sends them with empty digests."""
    digest = hex_digest(secret, payload) if secret else ""
    old = hmac.new(secret.encode(), payload, hashlib.sha1).hexdigest() if secret else ""
    return {
        "X-Gitea-Signature": digest,
        "X-Gogs-Signature": digest,
        "X-Hub-Signature": f"sha1={old}",
        "X-Hub-Signature-256": f"sha256={digest}",
    }


def sign_forgejo(body: bytes, payload: bytes, secret: str) -> Headers:
    return {**sign_gitea(body, payload, secret), "X-Forgejo-Signature": hex_digest(secret, payload)}


def sign_gogs(_body: bytes, payload: bytes, secret: str) -> Headers:
    return {"X-Gogs-Signature": hex_digest(secret, payload)}


def sign_bitbucket(body: bytes, _payload: bytes, secret: str) -> Headers:
    return {"X-Hub-Signature": f"sha256={hex_digest(secret, body)}"}


def sign_soft_serve(body: bytes, _payload: bytes, secret: str) -> Headers:
    return {"X-SoftServe-Signature": f"sha256={hex_digest(secret, body)}"}


def sign_pagure(body: bytes, _payload: bytes, secret: str) -> Headers:
    return {"X-Pagure-Signature-256": hex_digest(secret, body)}


def sign_standard(body: bytes, _payload: bytes, secret: str, at: float | None = None) -> Headers:
    identity, stamp = str(uuid.uuid4()), str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{identity}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": identity,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def show_token(header: str) -> Callable[[bytes, bytes, str], Headers]:
    return lambda _body, _payload, secret: {header: secret}


def show_password(_body: bytes, _payload: bytes, secret: str) -> Headers:
    return {"Authorization": "Basic " + base64.b64encode(f"mlmesh:{secret}".encode()).decode()}


def show_bearer(_body: bytes, _payload: bytes, secret: str) -> Headers:
    return {"Authorization": f"Bearer {secret}"}


GITHUB = SampleForge(
    "github", write_github, sign_github, {"X-GitHub-Event": "push"}, "X-GitHub-Delivery", has_forms=True
)
GITEA = SampleForge(
    "gitea",
    write_gitea,
    sign_gitea,
    {"X-Gitea-Event": "push", "X-Gitea-Event-Type": "push", "X-Gogs-Event": "push", "X-GitHub-Event": "push"},
    "X-Gitea-Delivery",
    has_forms=True,
)
FORGEJO = SampleForge(
    "forgejo",
    write_gitea,
    sign_forgejo,
    {"X-Forgejo-Event": "push", **GITEA.events},
    "X-Forgejo-Delivery",
    has_forms=True,
)
GOGS = SampleForge(
    "gogs",
    write_gitea,
    sign_gogs,
    {"X-Gogs-Event": "push", "X-Github-Event": "push"},
    "X-Gogs-Delivery",
    has_forms=True,
)
GITLAB = SampleForge(
    "gitlab", write_gitlab, show_token("X-Gitlab-Token"), {"X-Gitlab-Event": "Push Hook"}, "Idempotency-Key", False
)
GITLAB_SIGNED = SampleForge(
    "gitlab", write_gitlab, sign_standard, {"X-Gitlab-Event": "Push Hook"}, "Idempotency-Key", secret=SIGNING_TOKEN
)
BITBUCKET = SampleForge(
    "bitbucket", write_bitbucket, sign_bitbucket, {"X-Event-Key": "repo:push", "X-Hook-UUID": "{h}"}, "X-Request-UUID"
)
DATA_CENTER = SampleForge(
    "bitbucket-dc", write_data_center, sign_bitbucket, {"X-Event-Key": "repo:refs_changed"}, "X-Request-Id"
)
AZURE = SampleForge("azure", write_azure, show_password, {"X-Vss-ActivityId": "6b"}, is_signed=False)
SAMPLES = {
    "GitHub": GITHUB,
    "Gitea": GITEA,
    "Forgejo": FORGEJO,
    "Gogs": GOGS,
    "GitBucket": SampleForge(
        "gitbucket",
        write_github,
        sign_github,
        {"X-Github-Event": "push", "User-Agent": "Apache-HttpClient/4.5.14 (Java/17)"},
        "X-Github-Delivery",
        has_forms=True,
    ),
    "GitLab": GITLAB,
    "GitLab, signing token": GITLAB_SIGNED,
    "Bitbucket Cloud": BITBUCKET,
    "Bitbucket Data Center": DATA_CENTER,
    "Bitbucket Data Center, Basic": SampleForge(
        "bitbucket-dc", write_data_center, show_password, DATA_CENTER.events, "X-Request-Id", is_signed=False
    ),
    "Azure DevOps": AZURE,
    "Gitee": SampleForge(
        "gitee", write_github, show_token("X-Gitee-Token"), {"X-Gitee-Event": "Push Hook"}, is_signed=False
    ),
    "soft-serve": SampleForge(
        "soft-serve", write_github, sign_soft_serve, {"X-SoftServe-Event": "push"}, "X-SoftServe-Delivery"
    ),
    "Pagure": SampleForge(
        "pagure", write_pagure, sign_pagure, {"X-Pagure-Topic": "git.receive", "X-Pagure": "https://p"}
    ),
    "GitVerse": SampleForge(
        "gitverse", write_gitea, show_bearer, {"X-Gitverse-Event": "push"}, "X-Gitverse-Delivery", is_signed=False
    ),
    "GitFlic": SampleForge("gitflic", write_gitea, show_bearer, {"X-GitFlic-Event": "PUSH"}, is_signed=False),
    "unknown, X-Hub-Signature-256": SampleForge("unknown", write_github, sign_github, {}),
    "unknown, Standard Webhooks": SampleForge("unknown", write_gitlab, sign_standard, {}, secret=SIGNING_TOKEN),
    "unknown, Basic": SampleForge("unknown", write_azure, show_password, {}, is_signed=False),
    "unknown, bearer": SampleForge("unknown", write_bitbucket, show_bearer, {}, is_signed=False),
}
"""Every forge with a known proof, and the fall-backs."""
