"""The cache of repositories on this disk, without a service around it."""

from pathlib import Path

import pytest

from services.registry.git.address_policy import Locations
from services.registry.git.allowed_folders import Folders
from services.registry.git.cache import Source


@pytest.fixture
def source(tmp_path: Path) -> Source:
    data = tmp_path / "registry"
    return Source(data, Locations(Folders([str(tmp_path)], [data]), ["127.0.0.0/8"]))
