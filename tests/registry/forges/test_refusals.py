"""What a refused sender, and what an owner, is told."""

import pytest

from services.registry.forges.forge_table import recognize_forge
from services.registry.forges.incoming_delivery import IncomingDelivery
from services.registry.forges.proofs import StandardWebhook
from services.registry.forges.refusals import describe_secret_problem, refuse_delivery

SECRET_FIELD = "set the webhook's secret in the field Secret of its webhook"


@pytest.mark.parametrize(
    ("headers", "token_error", "check", "detail"),
    [
        (
            {"x-gitea-event": "push", "x-gitea-signature": "00"},
            None,
            "X-Gitea-Signature",
            f"X-Gitea-Signature does not fit the payload and the webhook's secret; {SECRET_FIELD}",
        ),
        (
            {"x-github-event": "push"},
            None,
            "X-Hub-Signature-256",
            f"GitHub sent no X-Hub-Signature-256 or Authorization; {SECRET_FIELD}",
        ),
        (
            {"x-gitea-event": "push", "x-gitea-signature": "", "authorization": "Bearer x"},
            "this token is not valid",
            "Authorization",
            f"this token is not valid; {SECRET_FIELD}",
        ),
        (
            {"x-vss-activityid": "1"},
            None,
            "Authorization",
            "Azure DevOps sent no Authorization; set the webhook's secret in the field Basic authentication password "
            "of its subscription",
        ),
        (
            {},
            None,
            "X-Hub-Signature-256",
            "the sender sent no X-Hub-Signature-256 or webhook-signature or Authorization; set the webhook's secret in "
            "the header Authorization: Bearer, or sign the body with it (X-Hub-Signature-256, Standard Webhooks)",
        ),
    ],
)
def test_a_refusal_says_which_check_failed_and_what_to_set(
    headers: dict[str, str], token_error: str | None, check: str, detail: str
) -> None:
    delivery = IncomingDelivery(headers)
    refusal = refuse_delivery(recognize_forge(delivery), delivery, token_error)
    assert (refusal.status, refusal.extensions, refusal.detail) == (401, {"check": check}, detail)


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("", "the webhook's Secret has no value here yet"),
        ("text", "the webhook's secret here is no signing token (whsec_…): store the one that the forge shows"),
        ("whsec_AAAA", None),
    ],
)
def test_an_owner_is_told_what_is_wrong_with_the_secret_here(secret: str, problem: str | None) -> None:
    assert describe_secret_problem(secret, [StandardWebhook()]) == problem
    assert describe_secret_problem("text", []) is None
