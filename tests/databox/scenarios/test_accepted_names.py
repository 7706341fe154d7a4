"""What a submission accepts as an output's folder, a publication accepts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.locations import Location
from services.scheduler.plans.submitted_values import BoxAccess, Submitter, parse_location
from tests.databox.conftest import Databox
from tests.databox.files.test_publications import OUT, store_outputs

ODD = ["a%2Fb", "a\\b", "%2e%2e", "a\x85b", "\u2028", " ", "a ", "%", "%25", "~", ".x", "-", "\u00e9" * 127, "n" * 255,
       "n" * 256, "\U0001f600", "a:b", "a?b#c", "a&b=c", "+", "\ufeff", "\ufffe", "__XL_DIR__", "xl.meta"]  # fmt: skip
SEGMENT = st.sampled_from(ODD) | st.text(min_size=1, max_size=6)
FOLDER = st.lists(SEGMENT, min_size=1, max_size=5).map("/".join)
ALICE = BoxAccess(Submitter("shop", "alice", {"data"}), ["data"])


@pytest.fixture(params=["directory", "minio", "versitygw"])
def urls(request: pytest.FixtureRequest, store_urls: Callable[[str], tuple[str, str]]) -> tuple[str, str]:
    return store_urls(request.param)


async def test_folders_that_a_submission_accepts_can_be_published(databox: Databox) -> None:
    await databox.declare_boxes(data=10**9)
    await store_outputs(databox, report=b"good")
    accepted: list[Location] = []

    @settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(FOLDER)
    def collect_accepted(folder: str) -> None:
        with suppress(ValueError):
            accepted.append(parse_location(folder, ALICE, folder=True))

    collect_accepted()
    accepted += [parse_location(folder, ALICE, folder=True) for folder in ODD if _is_accepted(folder)]
    assert len(accepted) > 20
    for number, location in enumerate(accepted):
        body = {"moves": [{"source": OUT, "target": location.to_json()}]}
        response = await databox.call("PUT", f"/internal/apps/shop/publications/p{number}", json=body)
        assert response.status == 200, (location, response.body)
        assert await databox.list_names(f"data/{location.group}/", "prefix=report") == ["report"], location
        assert (await databox.request_file("DELETE", f"data/{location.group}/")).status == 204


def _is_accepted(folder: str) -> bool:
    try:
        parse_location(folder, ALICE, folder=True)
    except ValueError:
        return False
    return True
