"""A worker with an engine says what the name of an image means, and runs exact images."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.servers.engine import Engine
from tests.worker.docker_host import DockerHost
from tests.worker.fake_mesh import FakeMesh
from tests.worker.image_registry import LOGIN, ImageRegistry, digest, image_registry
from tests.worker.process_host import run_worker

LOCAL = "mlmesh-test/local:1"
KINDS = ["stage", "instance", "image", "build"]


@pytest.fixture
def local_image(docker_engine: Engine, python_image: str) -> Iterator[str]:
    """The id of an image that is on this engine only, as `LOCAL`."""
    docker_engine.run("tag", python_image, LOCAL)
    yield docker_engine.run("image", "inspect", "--format", "{{.Id}}", LOCAL)
    docker_engine.run("rmi", "--force", LOCAL)


@pytest.fixture
async def registry(host: DockerHost, docker_engine: Engine) -> AsyncIterator[ImageRegistry]:
    """Behind a password; its image is unknown to the engine."""
    async with image_registry(host.token) as registry:
        yield registry
        if docker_engine.has_image(registry.image):
            docker_engine.run("rmi", "--force", registry.image)


async def test_an_image_that_is_only_here_has_its_id(mesh: FakeMesh, host: DockerHost, local_image: str) -> None:
    mesh.add_image("m1", LOCAL)
    async with host.run_worker():
        report = await mesh.wait_for_report()
    mesh.add_stage("t1", "", image=local_image, entry_point=["echo", "runs"])
    async with host.run_worker():
        await mesh.wait_until(lambda: "log-t1" in mesh.ended_logs)
    assert (report["task"], report["outcome"], report["image"]) == ("m1", "succeeded", local_image)
    assert mesh.logs["log-t1"] == b"runs\n"
    assert [claim["kinds"] for claim in mesh.claims] == [KINDS] * len(mesh.claims)


async def test_an_image_of_a_registry_is_pulled_and_has_its_digest(
    mesh: FakeMesh, host: DockerHost, registry: ImageRegistry, docker_engine: Engine
) -> None:
    mesh.secret_values["closed"] = LOGIN
    mesh.add_image("m1", registry.image, image_credentials="closed")
    async with host.run_worker():
        report = await mesh.wait_for_report()
    exact = f"{registry.image.removesuffix(':1')}@{digest(registry.manifest)}"
    assert (report["outcome"], report["image"]) == ("succeeded", exact)
    docker_engine.run("rmi", "--force", registry.image)
    mesh.reports.clear()
    host.add_stage("", image=exact, image_credentials="closed")
    async with host.run_worker():
        reason = (await mesh.wait_for_report())["reason"]
    assert reason["code"] == "error", "it was pulled by its digest, and has no program to run"
    docker_engine.run("rmi", "--force", exact)


@pytest.mark.parametrize(
    ("login", "words"),
    [
        (None, "no basic auth credentials"),
        ({**LOGIN, "password": "wrong"}, "unauthorized"),
    ],
)
async def test_a_registry_that_refuses_is_asked_once(
    mesh: FakeMesh, host: DockerHost, registry: ImageRegistry, login: dict[str, str] | None, words: str
) -> None:
    mesh.secret_values["closed"] = login or {}
    mesh.add_image("m1", registry.image, image_credentials="closed" if login else None)
    async with host.run_worker():
        report = await mesh.wait_for_report()
    assert (report["outcome"], report["reason"]["code"]) == ("failed", "image")
    assert report["reason"]["detail"].startswith(f"cannot pull the image {registry.image}: ")
    assert words in report["reason"]["detail"]


async def test_a_registry_that_is_away_is_asked_again(mesh: FakeMesh, host: DockerHost) -> None:
    async with image_registry(host.token) as registry:
        name = registry.image
    mesh.add_image("m1", name)
    async with host.run_worker():
        await mesh.wait_until(
            lambda: any("; trying again in 1 s" in (status.get("detail") or "") for status in mesh.statuses)
        )
        mesh.stops.append({"task": "m1", "token": 7})
        await mesh.notify()
        report = await mesh.wait_for_report()
    assert (report["outcome"], host.inspect_containers()) == ("stopped", [])
    assert any(f"cannot pull the image {name}: " in (status.get("detail") or "") for status in mesh.statuses)


async def test_an_id_that_is_not_here_is_not_asked_of_any_registry(mesh: FakeMesh, host: DockerHost) -> None:
    gone = "sha256:" + "0" * 64
    host.add_stage("", image=gone)
    async with host.run_worker():
        report = await mesh.wait_for_report()
    assert report["reason"] == {
        "code": "image",
        "detail": f"the Docker Engine of this worker does not have the image {gone}, which no image registry had at "
        "the deployment; deploy again if it is built (mlmesh app sync), else push it to one and deploy again, "
        "or load it here (docker load)",
    }


async def test_a_stopped_worker_hands_its_image_back(mesh: FakeMesh, host: DockerHost) -> None:
    async with image_registry(host.token) as registry:
        name = registry.image
    mesh.add_image("m1", name)
    async with host.run_worker():
        await mesh.wait_for_status(task="m1", state="pulling")
    assert mesh.reports == []
    async with host.run_worker():
        report = await mesh.wait_for_report()
    assert (report["task"], report["outcome"]) == ("m1", "returned")


async def test_a_worker_of_processes_asks_for_no_image(mesh: FakeMesh, tmp_path: Path) -> None:
    async with run_worker(mesh, tmp_path):
        await mesh.wait_until(lambda: mesh.claims)
    assert [claim["kinds"] for claim in mesh.claims] == [KINDS[:2]] * len(mesh.claims)
