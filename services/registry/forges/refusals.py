"""Why a delivery is refused: which check failed, and what to set. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from libs.common.errors import Unauthorized
from services.registry.forges.forge_table import Forge
from services.registry.forges.incoming_delivery import IncomingDelivery
from services.registry.forges.proofs import SIGNING_TOKEN_PREFIX, Proof


class UnprovenDelivery(Unauthorized):
    """The delivery does not prove that its sender knows the webhook's secret."""

    def __init__(self, check: str, detail: str) -> None:
        super().__init__(detail, check=check)


def list_presented_proofs(forge: Forge, delivery: IncomingDelivery) -> list[Proof]:
    return [proof for proof in forge.proofs if proof.is_presented(delivery)]


def refuse_delivery(forge: Forge, delivery: IncomingDelivery, token_error: str | None) -> UnprovenDelivery:
    """`token_error`: what is wrong with the bearer token, if there is one."""
    advice = f"set the webhook's secret in {forge.secret_field}"
    presented = list_presented_proofs(forge, delivery)
    if presented:
        return UnprovenDelivery(
            presented[0].header, f"{presented[0].header} does not fit {presented[0].subject}; {advice}"
        )
    if token_error is not None:
        return UnprovenDelivery("Authorization", f"{token_error}; {advice}")
    headers = list(dict.fromkeys([*(proof.header for proof in forge.proofs), "Authorization"]))
    return UnprovenDelivery(headers[0], f"{forge.title} sent no {' or '.join(headers)}; {advice}")


def describe_secret_problem(secret: str, presented: Sequence[Proof]) -> str | None:
    """What only the app's owners are told: the mesh's own secret cannot prove any delivery."""
    if not secret:
        return "the webhook's Secret has no value here yet"
    if any(proof.header == "webhook-signature" for proof in presented) and not secret.startswith(SIGNING_TOKEN_PREFIX):
        return "the webhook's secret here is no signing token (whsec_…): store the one that the forge shows"
    return None
