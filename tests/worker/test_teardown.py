"""What `mlmesh down` removes of an engine."""

from __future__ import annotations

import uuid
from pathlib import Path

from libs.common.settings import Settings
from services.worker import teardown
from services.worker.context import get_installation_id
from services.worker.runtime.image_build import APP_LABEL, KEY_LABEL, MESH_LABEL
from tests.servers.engine import Engine


def build_image(engine: Engine, token: str, folder: Path) -> str:
    """An image as a mesh with this token builds it."""
    labels = {MESH_LABEL: get_installation_id(token), APP_LABEL: "a", KEY_LABEL: "k"}
    options = [part for name, value in labels.items() for part in ("--label", f"{name}={value}")]
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    tag = f"mlmesh-{labels[MESH_LABEL]}/a:k"
    engine.run("build", "--quiet", "--tag", tag, *options, str(folder))
    return tag


async def test_built_images_stay_unless_they_are_to_go(docker_engine: Engine, tmp_path: Path) -> None:
    token, other_token = uuid.uuid4().hex, uuid.uuid4().hex
    tag, other_tag = (build_image(docker_engine, key, tmp_path) for key in (token, other_token))
    settings, other = (
        Settings.from_values(runtime=docker_engine.runtime, internal_token=key) for key in (token, other_token)
    )
    assert await teardown.remove(settings) == (0, 0, 1)
    assert docker_engine.has_image(tag)
    assert await teardown.remove(settings, images=True) == (0, 0, 1)
    assert not docker_engine.has_image(tag)
    assert await teardown.remove(settings) == (0, 0, 0)
    assert docker_engine.has_image(other_tag)
    assert await teardown.remove(other, images=True) == (0, 0, 1)
