"""One embedded mesh for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    mesh = Mesh(tmp_path_factory.mktemp("mesh"))
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()


@pytest.fixture(scope="module")
def api(embedded: Mesh) -> Iterator[Api]:
    with closing(Api(embedded.url, embedded.token)) as api:
        yield api
