"""Taking back what was published, on every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.databox.conftest import Databox
from tests.databox.test_publications import GROUP, OUT, produced, publish


@pytest.fixture(params=["directory", "minio", "versitygw"])
def urls(request: pytest.FixtureRequest, every_place: Callable[[str], tuple[str, str]]) -> tuple[str, str]:
    return every_place(request.param)


@pytest.mark.parametrize("later", [b"evil", b"of somebody else"])
async def test_what_was_published_is_taken_back_and_what_others_put_there_stays(databox: Databox, later: bytes) -> None:
    await databox.put("data/results/kept", b"kept")
    await produced(databox, model=b"trained", report=b"good")
    await publish(databox)
    await databox.put("data/results/report", later)
    body = {"moves": [{"source": OUT, "target": GROUP}]}
    for _again in range(2):
        assert (await databox.call("POST", "/internal/apps/shop/removals", json=body)).status == 204
    assert await databox.names("data/results/") == ["kept", "report"]
    assert (await databox.box())["used"] == len(b"kept" + later)
