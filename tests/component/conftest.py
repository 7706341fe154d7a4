from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.component.file_routes import Boxes, file_routes


@pytest.fixture
def boxes() -> Iterator[Boxes]:
    with file_routes() as boxes:
        yield boxes
