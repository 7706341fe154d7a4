"""Revoking publications, on every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.databox.conftest import Databox
from tests.databox.files.test_publications import GROUP, OUT, publish_moves, store_outputs


@pytest.fixture(params=["directory", "minio", "versitygw"])
def urls(request: pytest.FixtureRequest, store_urls: Callable[[str], tuple[str, str]]) -> tuple[str, str]:
    return store_urls(request.param)


@pytest.mark.parametrize("later", [b"evil", b"of somebody else"])
async def test_published_files_are_deleted_and_later_uploads_stay(databox: Databox, later: bytes) -> None:
    await databox.put("data/results/kept", b"kept")
    await store_outputs(databox, model=b"trained", report=b"good")
    await publish_moves(databox)
    await databox.put("data/results/report", later)
    body = {"moves": [{"source": OUT, "target": GROUP}]}
    for _attempt in range(2):
        assert (await databox.call("POST", "/internal/apps/shop/removals", json=body)).status == 204
    assert await databox.list_names("data/results/") == ["kept", "report"]
    assert (await databox.get_box())["used"] == len(b"kept" + later)
