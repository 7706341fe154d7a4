"""Which forge a delivery comes from."""

import pytest

from services.registry.forges.forge_table import FORGES, UNKNOWN, is_unsigned_ping, recognize_forge
from services.registry.forges.incoming_delivery import IncomingDelivery
from tests.registry.forges.sent_deliveries import SAMPLES, SampleForge


def receive(**headers: str) -> IncomingDelivery:
    return IncomingDelivery({name.lower().replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_each_forge_is_recognised_by_its_own_headers(sample: SampleForge) -> None:
    headers = {name.lower(): value for name, value in sample.send().headers.items()}
    assert recognize_forge(IncomingDelivery(headers)).name == sample.name


def test_a_sender_without_known_headers_is_unknown() -> None:
    assert recognize_forge(receive()) is UNKNOWN
    assert recognize_forge(receive(x_gitea_event="")) is UNKNOWN


def test_each_forge_has_its_row_once() -> None:
    names = [forge.name for forge in FORGES]
    assert len(names) == len(set(names))
    assert names[-1] == UNKNOWN.name


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x_event_key": "diagnostics:ping"}, True),
        ({"x_event_key": "diagnostics:ping", "x_hub_signature": ""}, True),
        ({"x_event_key": "diagnostics:ping", "x_hub_signature": "sha256=00"}, False),
        ({"x_event_key": "diagnostics:ping", "authorization": "Basic eA=="}, False),
        ({"x_event_key": "repo:refs_changed"}, False),
        ({"x_github_event": "ping"}, False),
        ({}, False),
    ],
)
def test_only_data_centers_test_of_a_connection_needs_no_proof(headers: dict[str, str], expected: bool) -> None:
    assert is_unsigned_ping(receive(**headers)) is expected
