"""The model cache of a host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from libs.common.http.client import open_service_clients
from libs.common.locations import Location
from services.worker.files.models import ModelCache
from tests.worker.fake_mesh import FakeMesh
from tests.worker.specs import FOLDER

FILE = FOLDER.model_copy(update={"file": "m.bin"})


@pytest.mark.parametrize("where", [FILE, FOLDER])
@pytest.mark.parametrize("harm", [lambda path: os.truncate(path, 3), os.unlink, None])
async def test_a_model_is_fetched_once_and_again_when_it_has_lost_something(
    mesh: FakeMesh, tmp_path: Path, where: Location, harm: Any
) -> None:
    mesh.files |= {"b/g/m.bin": b"model", "b/g/sub/words.txt": b"words"}
    async with open_service_clients(mesh.make_settings(tmp_path)) as peers:
        models = ModelCache(tmp_path / "models", peers)
        first = await models.get("a", where)
        path = first if where is FILE else first / "m.bin"
        fetched = len(mesh.downloads)
        if harm:
            harm(path)
        assert await models.get("a", where) == first
    assert path.read_bytes() == b"model"
    assert len(mesh.downloads) == fetched * (2 if harm else 1)
    assert [path.suffix for path in (tmp_path / "models").iterdir() if path.name.startswith(".")] == []
