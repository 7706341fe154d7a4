from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.component.file_routes import Boxes


@pytest.fixture
def boxes() -> Iterator[Boxes]:
    from tests.component.file_routes import file_routes

    with file_routes() as boxes:
        yield boxes
