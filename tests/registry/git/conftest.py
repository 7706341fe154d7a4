"""The cache of repositories on this disk, without a service around it."""

from pathlib import Path

import pytest

from services.registry.git.address_policy import AddressPolicy
from services.registry.git.allowed_folders import AllowedFolders
from services.registry.git.cache import GitCache


@pytest.fixture
def git_cache(tmp_path: Path) -> GitCache:
    data = tmp_path / "registry"
    return GitCache(data, AddressPolicy(AllowedFolders([str(tmp_path)], [data]), ["127.0.0.0/8"]))
