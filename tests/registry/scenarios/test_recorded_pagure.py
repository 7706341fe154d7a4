"""What a real Pagure sent."""

import json
from pathlib import Path

import pytest

from services.registry.forges.forge_table import recognize_forge
from services.registry.forges.incoming_delivery import IncomingDelivery
from services.registry.forges.parsed_delivery import parse_delivery
from services.registry.forges.proofs import is_proven
from services.registry.forges.pushes import Change

RECORDED = json.loads((Path(__file__).parents[1] / "forges/recorded_pagure.json").read_bytes())
"""Deliveries of a Pagure 5.14.1, as it sent them."""
WEB_HOOK_KEY = "N25KT3YF5GMY8YOB0YNE3KNV5VP3W8OT31QAOKU3"
"""Which Pagure made for the project."""
COMMIT = "3387608074ece51338baab96be578f860c0084bc"
CHANGES = {
    "push": Change("refs/heads/main", COMMIT),
    "new branch": Change("refs/heads/other", COMMIT),
    "deleted branch": Change("refs/heads/other", deleted=True),
    "new tag": Change("refs/tags/v1", COMMIT),
    "deleted tag": Change("refs/tags/v1", deleted=True),
}


def receive(name: str) -> IncomingDelivery:
    sent = RECORDED[name]
    return IncomingDelivery({header.lower(): value for header, value in sent["headers"].items()}, sent["body"].encode())


@pytest.mark.parametrize(("name", "change"), CHANGES.items(), ids=CHANGES)
def test_what_a_real_pagure_sent_is_proven_and_read(name: str, change: Change) -> None:
    delivery = receive(name)
    forge = recognize_forge(delivery)
    parsed = parse_delivery(forge, delivery)
    assert (forge.name, parsed.changes, parsed.is_ping) == ("pagure", (change,), False)
    assert parsed.delivery_id == json.loads(delivery.body)["msg_id"]
    assert is_proven(forge.proofs, delivery, WEB_HOOK_KEY, 0.0)
    assert not is_proven(forge.proofs, delivery, "another key", 0.0)


def test_every_recorded_delivery_has_a_case() -> None:
    assert set(RECORDED) == set(CHANGES)
