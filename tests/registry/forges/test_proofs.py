"""Proofs: tables of cases, with every forge's own."""

import base64
import dataclasses
import hashlib
import hmac

import pytest

from services.registry.forges.forge_table import HUB_SIGNATURE_256, recognize_forge
from services.registry.forges.incoming_delivery import IncomingDelivery
from services.registry.forges.proofs import BasicPassword, PayloadSignature, SecretToken, StandardWebhook, is_proven
from tests.registry.forges.sent_deliveries import (
    AZURE,
    GITEA,
    GITLAB_SIGNED,
    SAMPLES,
    SIGNING_TOKEN,
    SampleForge,
    SentDelivery,
    sign_standard,
)

SECRET = "It's a Secret to Everybody"
BODY = b"Hello, World!"
DIGEST = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
"""GitHub's own example of body, secret and digest ("Validating webhook deliveries")."""
NOW = 1_800_000_000.0
PROVEN_BY_FORGE = {title: sample for title, sample in SAMPLES.items() if "Authorization" not in sample.send().headers}


def receive(sent: SentDelivery, **headers: str) -> IncomingDelivery:
    return IncomingDelivery({name.lower(): value for name, value in {**sent.headers, **headers}.items()}, sent.body)


def is_accepted(delivery: IncomingDelivery, secret: str) -> bool:
    import time

    return is_proven(recognize_forge(delivery).proofs, delivery, secret, time.time())


def list_forms() -> list[object]:
    with_forms = [(title, form) for title, sample in SAMPLES.items() for form in (False, True)[: 1 + sample.has_forms]]
    return [
        pytest.param(SAMPLES[title], form, id=f"{title} {'form' if form else 'JSON'}") for title, form in with_forms
    ]


FORMS = list_forms()


@pytest.mark.parametrize(("sample", "form"), FORMS)
def test_each_forges_own_delivery_is_proven_and_only_with_its_secret(sample: SampleForge, form: bool) -> None:
    delivery = receive(sample.send(form=form))
    if "bearer" in delivery.headers.get("authorization", "").lower():
        assert delivery.bearer_token == sample.secret
        return
    assert is_accepted(delivery, sample.secret)
    assert not is_accepted(delivery, sample.secret + "x")
    assert not is_accepted(delivery, SIGNING_TOKEN.replace("_Y", "_Z"))
    assert not is_accepted(delivery, "")


@pytest.mark.parametrize(("sample", "form"), [form for form in FORMS if form.values[0].is_signed])  # type: ignore[attr-defined]
def test_one_changed_byte_of_a_signed_delivery_is_refused(sample: SampleForge, form: bool) -> None:
    sent = sample.send(form=form)
    changed = dataclasses.replace(sent, body=sent.body.replace(b"2e2e", b"2e2f", 1))
    assert changed.body != sent.body
    assert not is_accepted(receive(changed), sample.secret)


@pytest.mark.parametrize("sample", PROVEN_BY_FORGE.values(), ids=PROVEN_BY_FORGE)
def test_an_empty_proof_is_an_absent_one(sample: SampleForge) -> None:
    sent = sample.send()
    names = [name for name in sent.headers if "Signature" in name or "Token" in name or name == "webhook-signature"]
    delivery = receive(sent, **dict.fromkeys(names, ""))
    assert names
    assert not any(proof.is_presented(delivery) for proof in recognize_forge(delivery).proofs)
    assert not is_accepted(delivery, sample.secret)


def test_an_empty_signature_of_an_empty_secret_is_refused() -> None:
    digest = hmac.new(b"", BODY, hashlib.sha256).hexdigest()
    delivery = IncomingDelivery({"x-gitea-event": "push", "x-gitea-signature": digest}, BODY)
    assert not is_accepted(delivery, "")


def test_githubs_own_example_is_proven() -> None:
    delivery = IncomingDelivery({"x-hub-signature-256": f"sha256={DIGEST}"}, BODY)
    assert HUB_SIGNATURE_256.is_valid(delivery, SECRET, NOW)


@pytest.mark.parametrize(
    "value", ["", DIGEST, "sha256=", f"sha1={DIGEST}", f"sha256={DIGEST[:-1]}", f"sha256={DIGEST.upper()}", "sha256=é"]
)
def test_what_is_not_exactly_githubs_signature_is_refused(value: str) -> None:
    assert not HUB_SIGNATURE_256.is_valid(IncomingDelivery({"x-hub-signature-256": value}, BODY), SECRET, NOW)


def test_the_payload_of_a_form_is_signed_where_the_forge_signs_payloads() -> None:
    sent = GITEA.send(form=True)
    assert PayloadSignature("X-Gitea-Signature").is_valid(receive(sent), GITEA.secret, NOW)
    assert not HUB_SIGNATURE_256.is_valid(receive(sent), GITEA.secret, NOW)


def test_a_form_without_a_payload_proves_nothing() -> None:
    sent = GITEA.send(form=True)
    assert not is_accepted(
        receive(dataclasses.replace(sent, body=sent.body.replace(b"payload", b"other"))), GITEA.secret
    )


def test_a_token_is_the_whole_secret() -> None:
    proof = SecretToken("X-Gitlab-Token")
    for value, valid in ((SECRET, True), (SECRET[:-1], False), (SECRET + "x", False), ("é", False)):
        assert proof.is_valid(IncomingDelivery({"x-gitlab-token": value}), SECRET, NOW) is valid


def test_a_token_may_have_letters_of_any_alphabet() -> None:
    header = "пароль".encode().decode("latin-1")
    assert SecretToken("X-Gitlab-Token").is_valid(IncomingDelivery({"x-gitlab-token": header}), "пароль", NOW)


@pytest.mark.parametrize(
    ("credentials", "valid"),
    [("any:" + SECRET, True), (":" + SECRET, True), ("any:other", False), (SECRET, False), ("any:", False)],
)
def test_the_secret_is_the_password_of_any_user(credentials: str, valid: bool) -> None:
    header = "Basic " + base64.b64encode(credentials.encode()).decode()
    assert BasicPassword().is_valid(IncomingDelivery({"authorization": header}), SECRET, NOW) is valid


@pytest.mark.parametrize("header", ["Basic", "Basic ", "Basic ???", "Basic 4pyT", "Basic \xe9"])
def test_basic_credentials_that_cannot_be_read_are_refused(header: str) -> None:
    assert not BasicPassword().is_valid(IncomingDelivery({"authorization": header}), SECRET, NOW)


def test_a_password_may_have_colons_and_letters_of_any_alphabet() -> None:
    header = "Basic " + base64.b64encode("any:пароль:é".encode()).decode()
    assert BasicPassword().is_valid(IncomingDelivery({"authorization": header}), "пароль:é", NOW)


@pytest.mark.parametrize(
    ("seconds", "valid"), [(0, True), (-300, True), (300, True), (-301, False), (301, False), (-86400, False)]
)
def test_a_standard_webhook_is_valid_for_five_minutes(seconds: float, valid: bool) -> None:
    headers = sign_standard(BODY, BODY, SIGNING_TOKEN, at=NOW + seconds)
    assert StandardWebhook().is_valid(IncomingDelivery(headers, BODY), SIGNING_TOKEN, NOW) is valid


def test_one_of_several_standard_signatures_is_enough() -> None:
    headers = sign_standard(BODY, BODY, SIGNING_TOKEN, at=NOW)
    valid = headers["webhook-signature"]
    for value, accepted in (
        (f"v1,AAAA {valid}", True),
        (f"{valid} v1,AAAA", True),
        (f"v1a,AAAA  v2,BBBB {valid}", True),
        ("v1,AAAA v1,BBBB", False),
        (valid.replace("v1,", "v2,"), False),
        (valid.removeprefix("v1,"), False),
        ("v1,", False),
    ):
        delivery = IncomingDelivery({**headers, "webhook-signature": value}, BODY)
        assert StandardWebhook().is_valid(delivery, SIGNING_TOKEN, NOW) is accepted


@pytest.mark.parametrize("time", ["", "now", "-5", "1e9", "٣", "9" * 400, "1800000000.0"])
def test_a_standard_webhook_without_a_time_is_refused(time: str) -> None:
    headers = {**sign_standard(BODY, BODY, SIGNING_TOKEN, at=NOW), "webhook-timestamp": time}
    assert not StandardWebhook().is_valid(IncomingDelivery(headers, BODY), SIGNING_TOKEN, NOW)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_???", "whsec_é", SECRET, SIGNING_TOKEN.removeprefix("whsec_")])
def test_only_a_signing_token_verifies_standard_webhooks(secret: str) -> None:
    headers = sign_standard(BODY, BODY, SIGNING_TOKEN, at=NOW)
    assert not StandardWebhook().is_valid(IncomingDelivery(headers, BODY), secret, NOW)


def test_id_and_time_are_signed_too() -> None:
    headers = sign_standard(BODY, BODY, SIGNING_TOKEN, at=NOW)
    for changed in ({"webhook-id": "d-2"}, {"webhook-timestamp": str(int(NOW) + 1)}):
        assert not StandardWebhook().is_valid(IncomingDelivery({**headers, **changed}, BODY), SIGNING_TOKEN, NOW)


def test_any_text_verifies_what_is_no_standard_webhook() -> None:
    assert is_accepted(receive(GITEA.send(secret=SIGNING_TOKEN)), SIGNING_TOKEN)
    assert is_accepted(receive(AZURE.send(secret=SIGNING_TOKEN)), SIGNING_TOKEN)


def test_one_valid_proof_of_several_is_enough() -> None:
    sent = GITLAB_SIGNED.send()
    assert is_accepted(receive(sent, **{"X-Gitlab-Token": "of another time"}), SIGNING_TOKEN)
    assert is_accepted(
        receive(sent, **{"webhook-signature": "v1,AAAA", "X-Gitlab-Token": SIGNING_TOKEN}), SIGNING_TOKEN
    )
