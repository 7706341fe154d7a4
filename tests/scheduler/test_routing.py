"""The table's document of an app."""

from __future__ import annotations

import pytest

from services.scheduler.routing import document
from tests.scheduler.manifests import MANIFESTS, catalog

NONE: list[str] = []


@pytest.mark.parametrize(
    ("cors", "expected"),
    [
        (b"", NONE),
        (b", cors: {origins: [https://lab.example, 'http://localhost:3000']}", ["https://lab.example", "http://localhost:3000"]),
        (b", cors: {origins: ['*']}", ["*"]),
    ],
)  # fmt: skip
def test_an_api_tells_whose_pages_may_call(cors: bytes, expected: list[str]) -> None:
    text = MANIFESTS.replace(b"auth: {apiKey: {}}", b"auth: {apiKey: {}}" + cors)
    found = {api["path"]: api["cors"] for api in document(catalog(text), [], {}, {})["apis"]}
    assert found == {"echo": expected, "train": NONE}
