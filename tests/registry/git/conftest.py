"""A Git cache for local repositories, without the service."""

from pathlib import Path

import pytest

from services.registry.git.address_policy import AddressPolicy
from services.registry.git.allowed_folders import AllowedFolders
from services.registry.git.cache import GitCache
from services.registry.git.client import GitClient


@pytest.fixture
def git_cache(tmp_path: Path) -> GitCache:
    data = tmp_path / "registry"
    return GitCache(
        data / "git", GitClient(data / "home"), AddressPolicy(AllowedFolders([str(tmp_path)], [data]), ["127.0.0.0/8"])
    )
