"""The classic builder of the engine, as on a host without a client that has BuildKit."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiodocker import Docker

from services.worker.runtime import RuntimeFailure
from services.worker.runtime.docker.builder import NO_SECRETS, Builder
from services.worker.runtime.docker.client import open_engine
from services.worker.runtime.image_build import ImageBuild
from tests.servers.engine import Engine

MEMORY = 512 * 2**20


@pytest.fixture
async def docker(docker_engine: Engine) -> AsyncIterator[Docker]:
    async with open_engine(docker_engine.runtime) as docker:
        yield docker


@pytest.fixture
def tag(docker_engine: Engine) -> str:
    return f"mlmesh-test/{uuid.uuid4().hex}:1"


def describe(folder: Path, dockerfile: Path, tag: str, **fields: object) -> ImageBuild:
    return ImageBuild(app="leaf", context=folder, dockerfile=dockerfile, tag=tag, labels={"of": "leaf"}, **fields)  # type: ignore[arg-type]


async def test_a_folder_is_built_with_a_dockerfile_that_is_not_in_it(
    docker: Docker, docker_engine: Engine, python_image: str, tag: str, tmp_path: Path
) -> None:
    folder, dockerfile, output = tmp_path / "folder", tmp_path / "Dockerfile", bytearray()
    folder.mkdir()
    (folder / "a.txt").write_text("one")
    script = "import socket; print(*[name for _, name in socket.if_nameindex()])"
    dockerfile.write_text(f'FROM {python_image}\nARG WORD\nCOPY . /f\nRUN echo $WORD > /word; python3 -c "{script}"\n')
    builder = Builder(docker, docker_engine.url, None, MEMORY)
    build = describe(folder, dockerfile, tag, args={"WORD": "said"}, has_network=False)
    image = await builder.build(build, output.extend)
    try:
        assert not builder.has_buildkit
        assert docker_engine.run("run", "--rm", image, "cat", "/word", "/f/a.txt") == "said\none"
        assert docker_engine.run("image", "inspect", "--format", "{{.Config.Labels.of}}", image) == "leaf"
        assert b"Step 2/5 : ARG WORD" in output
        assert b"\nlo\n" in output
    finally:
        docker_engine.run("rmi", "--force", image)


async def test_a_step_that_fails_is_told_in_the_engines_words(
    docker: Docker, docker_engine: Engine, python_image: str, tag: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {python_image}\nRUN echo began && exit 3\n")
    output = bytearray()
    with pytest.raises(RuntimeFailure, match="returned a non-zero code: 3") as raised:
        await Builder(docker, docker_engine.url, None, MEMORY).build(
            describe(tmp_path, tmp_path / "Dockerfile", tag), output.extend
        )
    assert raised.value.code == "build"
    assert b"began" in output


async def test_it_keeps_no_secret_and_says_so(docker: Docker, docker_engine: Engine, tag: str, tmp_path: Path) -> None:
    build = describe(tmp_path, tmp_path / "Dockerfile", tag, secrets={"login/token": tmp_path / "token"})
    with pytest.raises(RuntimeFailure) as raised:
        await Builder(docker, docker_engine.url, None, MEMORY).build(build, bytearray().extend)
    assert raised.value.detail == NO_SECRETS
