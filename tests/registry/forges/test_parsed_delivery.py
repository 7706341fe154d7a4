"""What a delivery reports, and its id."""

import json
from pathlib import Path

import pytest

from libs.common.errors import Malformed
from services.registry.forges.forge_table import FORGES, recognize_forge
from services.registry.forges.incoming_delivery import IncomingDelivery
from services.registry.forges.parsed_delivery import (
    ParsedDelivery,
    describe_event,
    describe_ref,
    get_delivery_id,
    parse_delivery,
)
from services.registry.forges.proofs import is_proven
from services.registry.forges.pushes import Change, find_change
from tests.registry.forges.push_documents import COMMIT, MAIN
from tests.registry.forges.sent_deliveries import SAMPLES, SampleForge, SentDelivery

BY_NAME = {forge.name: forge for forge in FORGES}
RECORDED_SECRET = "hook of stem"
"""Of the webhooks of RECORDED."""
RECORDED = json.loads(Path(__file__).with_name("recorded_gitea.json").read_bytes())
"""Deliveries that a Gitea 1.26.0 sent, as it sent them."""
RECORDED_COMMIT = "7f25c669ac8af71bd102c68a93e86c2531e8b5b1"
RECORDED_CHANGES = {
    "push": Change(MAIN, RECORDED_COMMIT),
    "push as a form": Change(MAIN, RECORDED_COMMIT),
    "push without a secret": Change(MAIN, RECORDED_COMMIT),
    "annotated tag": Change("refs/tags/v1", "9f62f73325d19498ff2ed762eb240ce791c29b0c"),
    "deleted tag": Change("refs/tags/v1", deleted=True),
    "deleted branch": Change("refs/heads/side", deleted=True),
    "test delivery": Change(MAIN),
}


def receive(sent: SentDelivery, **headers: str) -> IncomingDelivery:
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return IncomingDelivery({**{name.lower(): value for name, value in sent.headers.items()}, **changed}, sent.body)


def receive_recorded(name: str) -> IncomingDelivery:
    sent = RECORDED[name]
    return IncomingDelivery({header.lower(): value for header, value in sent["headers"].items()}, sent["body"].encode())


def parse(delivery: IncomingDelivery) -> ParsedDelivery:
    return parse_delivery(recognize_forge(delivery), delivery)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_each_forges_push_is_read(sample: SampleForge) -> None:
    for form in (False, True)[: 1 + sample.has_forms]:
        parsed = parse(receive(sample.send(form=form, delivery="d-7")))
        assert find_change(parsed.changes, MAIN.__eq__) == Change(MAIN, COMMIT)
        assert not parsed.is_ping
        if sample.delivery_header:
            assert parsed.delivery_id == "d-7"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-github-event": "ping", "x-github-delivery": "p"}, ParsedDelivery("ping", "p", is_ping=True)),
        ({"x-gitea-event": "ping"}, ParsedDelivery("ping", is_ping=True)),
        ({"x-event-key": "diagnostics:ping"}, ParsedDelivery("diagnostics:ping", is_ping=True)),
        ({"x-github-event": "issues"}, ParsedDelivery("issues")),
        ({"x-gitlab-event": "Issue Hook"}, ParsedDelivery("issue hook")),
        ({"x-event-key": "pullrequest:created"}, ParsedDelivery("pullrequest:created")),
        ({"x-github-event": "x" * 100}, ParsedDelivery("x" * 64)),
        ({"x-softserve-event": "branch_tag_delete"}, ParsedDelivery("branch_tag_delete")),
    ],
)
def test_a_body_that_is_no_push_is_not_read(headers: dict[str, str], expected: ParsedDelivery) -> None:
    assert parse(IncomingDelivery(headers, b"no JSON")) == expected


def test_from_an_unknown_sender_an_empty_body_is_a_push_to_any_branch() -> None:
    assert parse(IncomingDelivery({}, b" ")).changes == (Change(None),)
    assert parse(IncomingDelivery({}, b'{"ref": "refs/heads/main"}')).changes == (Change(MAIN),)
    with pytest.raises(Malformed):
        parse(IncomingDelivery({"x-github-event": "push"}, b""))


def test_an_unknown_senders_own_id_is_not_taken_for_that_of_a_delivery() -> None:
    """The same with every push, it would make all but the first a repetition."""
    assert parse(IncomingDelivery({}, b'{"id": 1, "ref": "refs/heads/main"}')).delivery_id is None


def test_azure_has_the_id_in_its_document() -> None:
    assert parse(receive(SAMPLES["Azure DevOps"].send())).delivery_id == "6b"


@pytest.mark.parametrize(
    ("value", "identity"),
    [("{1f-2}", "{1f-2}"), ("a" * 200, "a" * 200), ("a" * 201, None), ("a/b", None), ("é", None), ("", None)],
)
def test_an_id_is_one_that_an_address_can_name(value: str, identity: str | None) -> None:
    assert get_delivery_id(BY_NAME["github"], IncomingDelivery({"x-github-delivery": value})) == identity


def test_what_is_logged_can_be_stored() -> None:
    assert describe_event(BY_NAME["github"], IncomingDelivery({"x-github-event": "PUSH" * 50})) == "push" * 16
    assert describe_ref(Change("refs/heads/\0\ud800x")) == "refs/heads/\ufffd\ufffdx"
    assert describe_ref(Change("r" * 1000)) == "r" * 255
    assert describe_ref(Change(None)) is describe_ref(None) is None


@pytest.mark.parametrize(("name", "change"), RECORDED_CHANGES.items(), ids=RECORDED_CHANGES)
def test_what_a_real_gitea_sent_is_proven_and_read(name: str, change: Change) -> None:
    delivery = receive_recorded(name)
    forge, parsed = recognize_forge(delivery), parse(delivery)
    assert (forge.name, parsed.changes, parsed.is_ping) == ("gitea", (change,), False)
    assert parsed.delivery_id == delivery.get_header("X-Gitea-Delivery")
    assert is_proven(forge.proofs, delivery, RECORDED_SECRET, 0.0) == (delivery.bearer_token is None)


def test_every_recorded_delivery_has_a_case() -> None:
    assert set(RECORDED) == set(RECORDED_CHANGES)


def test_a_real_gitea_without_a_secret_sends_empty_signatures() -> None:
    delivery = receive_recorded("push without a secret")
    assert delivery.bearer_token == RECORDED_SECRET
    assert (delivery.get_header("X-Gitea-Signature"), delivery.get_header("X-Hub-Signature-256")) == ("", "sha256=")
