"""The engine's own command: which client builds, with which arguments and environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.worker.runtime.docker.build_command import BuildCommand, build_environment, find_build_command
from services.worker.runtime.image_build import ImageBuild

BUILD = ImageBuild(
    app="leaf", context=Path("/c"), dockerfile=Path("/t/Dockerfile"), tag="m/leaf:k", labels={"mlmesh.app": "leaf"}
)


def test_an_app_has_caches_of_its_own() -> None:
    assert BuildCommand(("docker", "build")).list_arguments(BUILD) == [
        "docker", "build", "--progress=plain", "--file", "/t/Dockerfile", "--tag", "m/leaf:k",
        "--label", "mlmesh.app=leaf", "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=leaf", "/c",
    ]  # fmt: skip


def test_a_manifest_cannot_choose_the_caches_of_another_app() -> None:
    build = ImageBuild(
        app="leaf", context=Path("/c"), dockerfile=Path("/c/Dockerfile"), tag="t", labels={}, has_network=False,
        args={"A": "--x", "BUILDKIT_CACHE_MOUNT_NS": "oak"}, secrets={"login/token": Path("/s/token")},
    )  # fmt: skip
    assert BuildCommand(("docker", "build")).list_arguments(build)[6:] == [
        "t", "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=leaf", "--build-arg", "A=--x",
        "--secret", "id=login/token,src=/s/token", "--network", "none", "/c",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "has_plugin", "words"),
    [
        ("20.10.24", False, ["build"]),
        ("28.2.2", False, None),
        ("28.2.2", True, ["buildx", "build", "--builder", "default", "--load"]),
        ("20.10.24", True, ["buildx", "build", "--builder", "default", "--load"]),
    ],
)
async def test_a_client_counts_if_it_has_buildkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, has_plugin: bool, words: list[str] | None
) -> None:
    client = tmp_path / "docker"
    client.write_text(
        f'#!/bin/sh\n[ "$1" = buildx ] && exit {0 if has_plugin else 1}\necho "Docker version {version}, build 1"\n'
    )
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/nowhere")
    monkeypatch.setattr("services.worker.runtime.docker.build_command.USUAL_FOLDERS", ())
    found = await find_build_command()
    assert found == (None if words is None else BuildCommand((str(client), *words)))


def test_the_command_does_not_see_the_meshs_keys() -> None:
    environment = build_environment({"MLMESH_SECRET_KEY": "k", "HOME": "/h", "DOCKER_HOST": "x"}, "unix:///e")
    assert environment == {
        "HOME": "/h", "DOCKER_HOST": "unix:///e", "DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
    }  # fmt: skip
