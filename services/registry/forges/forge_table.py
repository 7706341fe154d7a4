"""One row a forge: how its deliveries are recognised, proven and read. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.registry.forges.incoming_delivery import IncomingDelivery
from services.registry.forges.proofs import (
    BasicPassword,
    BodySignature,
    PayloadSignature,
    Proof,
    SecretToken,
    StandardWebhook,
)
from services.registry.forges.pushes import (
    Changes,
    Document,
    parse_any_push,
    parse_azure_push,
    parse_bitbucket_push,
    parse_data_center_push,
    parse_github_push,
    parse_gitlab_push,
    parse_pagure_push,
)

HUB_SIGNATURE = BodySignature("X-Hub-Signature", "sha256=")
HUB_SIGNATURE_256 = BodySignature("X-Hub-Signature-256", "sha256=")
COMMON_PROOFS = (HUB_SIGNATURE_256, StandardWebhook())
"""Of senders whose own signature is not known."""
PAGURE_EVENTS = frozenset(
    {"git.receive", "git.branch.creation", "git.branch.deletion", "git.tag.creation", "git.tag.deletion"}
)
GITHUB_EVENTS = frozenset({"push", "delete"})
GITLAB_EVENTS = frozenset({"push hook", "tag push hook", "system hook"})
SECRET_FIELD = "the field Secret of its webhook"  # noqa: S105  where a secret is typed


@dataclass(frozen=True)
class HeaderPattern:
    """A header that a forge sends; `prefixes`: what its value begins with, or anything."""

    header: str
    prefixes: tuple[str, ...] = ()

    def matches(self, delivery: IncomingDelivery) -> bool:
        value = delivery.get_header(self.header)
        return value.startswith(self.prefixes) if self.prefixes else bool(value)


@dataclass(frozen=True)
class Forge:
    """`recognized_by`: headers that it sends, all of them. `push_events`: those that are read; none named: all."""

    name: str
    title: str
    recognized_by: tuple[HeaderPattern, ...]
    proofs: tuple[Proof, ...]
    secret_field: str
    """Where the secret is typed at the forge."""
    parse: Callable[[str, Document], Changes]
    event_header: str = ""
    push_events: frozenset[str] = frozenset()
    delivery_headers: tuple[str, ...] = ()
    delivery_field: str = ""
    """The member of the document that has the delivery's id, when no header does."""
    ping_events: frozenset[str] = frozenset({"ping"})

    def is_sender(self, delivery: IncomingDelivery) -> bool:
        return all(pattern.matches(delivery) for pattern in self.recognized_by)

    def get_event(self, delivery: IncomingDelivery) -> str:
        return delivery.get_header(self.event_header).lower()


def _gitea_row(name: str, title: str) -> Forge:
    """Of Gitea and what derives from it: they sign the payload."""
    return Forge(
        name,
        title,
        recognized_by=(HeaderPattern(f"X-{title}-Event"),),
        proofs=(PayloadSignature(f"X-{title}-Signature"),),
        secret_field=SECRET_FIELD,
        parse=parse_github_push,
        event_header=f"X-{title}-Event",
        push_events=GITHUB_EVENTS,
        delivery_headers=(f"X-{title}-Delivery",),
    )


def _github_row(name: str, title: str, *recognized_by: HeaderPattern) -> Forge:
    return Forge(
        name,
        title,
        recognized_by=(HeaderPattern("X-GitHub-Event"), *recognized_by),
        proofs=(HUB_SIGNATURE_256,),
        secret_field=SECRET_FIELD,
        parse=parse_github_push,
        event_header="X-GitHub-Event",
        push_events=GITHUB_EVENTS,
        delivery_headers=("X-GitHub-Delivery",),
    )


BITBUCKET_DATA_CENTER = Forge(
    "bitbucket-dc",
    "Bitbucket Data Center",
    recognized_by=(HeaderPattern("X-Event-Key", ("repo:refs_changed", "diagnostics:ping")),),
    proofs=(HUB_SIGNATURE, BasicPassword()),
    secret_field=SECRET_FIELD,
    parse=parse_data_center_push,
    event_header="X-Event-Key",
    push_events=frozenset({"repo:refs_changed"}),
    delivery_headers=("X-Request-Id",),
    ping_events=frozenset({"diagnostics:ping"}),
)
UNKNOWN = Forge(
    "unknown",
    "the sender",
    recognized_by=(),
    proofs=(*COMMON_PROOFS, BasicPassword()),
    secret_field="the header Authorization: Bearer, or sign the body with it (X-Hub-Signature-256, Standard Webhooks)",  # noqa: S106
    parse=parse_any_push,
    delivery_headers=("webhook-id",),
)
FORGES = (
    _gitea_row("forgejo", "Forgejo"),
    _gitea_row("gitea", "Gitea"),
    _gitea_row("gogs", "Gogs"),
    Forge(
        "gitlab",
        "GitLab",
        recognized_by=(HeaderPattern("X-Gitlab-Event"),),
        proofs=(StandardWebhook(), SecretToken("X-Gitlab-Token")),
        secret_field="the field Secret token of its webhook, or store its signing token here",  # noqa: S106
        parse=parse_gitlab_push,
        event_header="X-Gitlab-Event",
        push_events=GITLAB_EVENTS,
        delivery_headers=("Idempotency-Key", "webhook-id"),
    ),
    Forge(
        "gitee",
        "Gitee",
        recognized_by=(HeaderPattern("X-Gitee-Event"),),
        proofs=(SecretToken("X-Gitee-Token"),),
        secret_field="the field Password of its webhook (not Signature)",  # noqa: S106
        parse=parse_github_push,
        event_header="X-Gitee-Event",
        push_events=GITLAB_EVENTS,
    ),
    BITBUCKET_DATA_CENTER,
    Forge(
        "bitbucket",
        "Bitbucket",
        recognized_by=(HeaderPattern("X-Event-Key"),),
        proofs=(HUB_SIGNATURE,),
        secret_field=SECRET_FIELD,
        parse=parse_bitbucket_push,
        event_header="X-Event-Key",
        push_events=frozenset({"repo:push"}),
        delivery_headers=("X-Request-UUID",),
    ),
    Forge(
        "soft-serve",
        "soft-serve",
        recognized_by=(HeaderPattern("X-SoftServe-Event"),),
        proofs=(BodySignature("X-SoftServe-Signature", "sha256="),),
        secret_field="--secret of its webhook",  # noqa: S106
        parse=parse_github_push,
        event_header="X-SoftServe-Event",
        push_events=frozenset({"push"}),
        delivery_headers=("X-SoftServe-Delivery",),
    ),
    Forge(
        "pagure",
        "Pagure",
        recognized_by=(HeaderPattern("X-Pagure-Topic"),),
        proofs=(BodySignature("X-Pagure-Signature-256"),),
        secret_field="the app's Secret here: it is the project's web-hook key, which Pagure makes",  # noqa: S106
        parse=parse_pagure_push,
        event_header="X-Pagure-Topic",
        push_events=PAGURE_EVENTS,
        delivery_field="msg_id",
    ),
    Forge(
        "gitverse",
        "GitVerse",
        recognized_by=(HeaderPattern("X-Gitverse-Event"),),
        proofs=COMMON_PROOFS,
        secret_field="the header Authorization of its webhook, as: Bearer <secret>",  # noqa: S106
        parse=parse_github_push,
        event_header="X-Gitverse-Event",
        push_events=GITHUB_EVENTS,
        delivery_headers=("X-Gitverse-Delivery",),
    ),
    Forge(
        "gitflic",
        "GitFlic",
        recognized_by=(HeaderPattern("X-GitFlic-Event"),),
        proofs=COMMON_PROOFS,
        secret_field="the header Authorization of its webhook, as: Bearer <secret>",  # noqa: S106
        parse=parse_any_push,
        event_header="X-GitFlic-Event",
    ),
    _github_row("gitbucket", "GitBucket", HeaderPattern("User-Agent", ("Apache-HttpClient",))),
    _github_row("github", "GitHub"),
    Forge(
        "azure",
        "Azure DevOps",
        recognized_by=(HeaderPattern("X-Vss-ActivityId"),),
        proofs=(BasicPassword(),),
        secret_field="the field Basic authentication password of its subscription",  # noqa: S106
        parse=parse_azure_push,
        delivery_field="id",
    ),
    UNKNOWN,
)
"""The most specific first: Gitea and Forgejo also send the headers of the forges that they derive from."""


def recognize_forge(delivery: IncomingDelivery) -> Forge:
    return next(forge for forge in FORGES if forge.is_sender(delivery))


def is_unsigned_ping(delivery: IncomingDelivery) -> bool:
    """Bitbucket Data Center's "Test connection", which it does not sign."""
    is_ping = BITBUCKET_DATA_CENTER.get_event(delivery) in BITBUCKET_DATA_CENTER.ping_events
    return is_ping and not any(delivery.get_header(name) for name in ("X-Hub-Signature", "Authorization"))
