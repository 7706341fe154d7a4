"""Images that a worker builds from the repository, on a real engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contracts.place import until
from tests.servers.docker_registry import LOGIN
from tests.servers.engine import Engine
from tests.worker.docker_host import DockerHost
from tests.worker.fake_mesh import TOKEN, FakeMesh

SECRET = "s3cret-of-the-build"


@pytest.fixture(autouse=True)
def clean_images(host: DockerHost, docker_engine: Engine) -> Iterator[None]:
    yield
    label = f"label=mlmesh.installation={host.installation}"
    if images := docker_engine.run("image", "ls", "--quiet", "--filter", label).split():
        docker_engine.run("rmi", "--force", *set(images))


async def build(mesh: FakeMesh, host: DockerHost, task: str, **over: Any) -> dict[str, Any]:
    """The report of a build; its whole log is in `mesh.logs`."""
    mesh.reports.clear()
    mesh.add_build(task, **{"base": host.image, **over})
    async with host.run_worker():
        report = await mesh.wait_for_report()
        await mesh.wait_until(lambda: f"log-{task}" in mesh.ended_logs)
    return report


def log(mesh: FakeMesh, task: str) -> str:
    return mesh.logs[f"log-{task}"].decode()


async def test_requirements_alone_become_an_image_that_runs_as_nobody(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.tree = {"requirements.txt": "", "service.py": "WORD = 'one'\n"}
    report = await build(mesh, host, "m1")
    assert report["outcome"] == "succeeded", log(mesh, "m1")
    assert report["engine"], "no image registry has it"
    mesh.reports.clear()
    host.add_stage("import os, service; print(service.WORD, os.getuid())", image=report["image"])
    async with host.run_worker():
        await mesh.wait_until(lambda: "log-t1" in mesh.ended_logs)
    assert mesh.logs["log-t1"] == b"one 10001\n"


async def test_a_change_of_the_code_alone_installs_nothing(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.tree = {"requirements.txt": f"# {host.token}\n", "service.py": "x = 1\n"}
    first = await build(mesh, host, "m1", commit="1a" * 20)
    mesh.tree["service.py"] = "x = 2\n"
    second = await build(mesh, host, "m2", commit="2b" * 20)
    assert first["image"] != second["image"]
    step = "RUN --mount=type=cache,target=/root/.cache/pip python3 -m pip install"
    after = log(mesh, "m2").partition(f"] {step}")[2]
    assert "CACHED" in after.partition("] COPY . .")[0] or "CACHED" in after, log(mesh, "m2")
    assert step in log(mesh, "m1")


async def test_a_dockerfile_of_the_folder_is_built_with_its_arguments(
    mesh: FakeMesh, host: DockerHost, docker_engine: Engine
) -> None:
    text = f"FROM {host.image}\nARG FLAVOUR\nCOPY . /here\nRUN ls /here && echo of $FLAVOUR > /flavour\n"
    mesh.tree = {"leaf/docker/cpu": text, "leaf/a.txt": "a", "outside.txt": "o"}
    report = await build(mesh, host, "m1", context="leaf", dockerfile="docker/cpu", args={"FLAVOUR": "cpu"})
    assert report["outcome"] == "succeeded", log(mesh, "m1")
    shown = docker_engine.run("run", "--rm", report["image"], "cat", "/flavour")
    assert shown == "of cpu"
    assert docker_engine.run("run", "--rm", report["image"], "ls", "/here") == "a.txt\ndocker"
    label = docker_engine.run("image", "inspect", "--format", '{{index .Config.Labels "mlmesh.app"}}', report["image"])
    assert label == "a"


async def test_a_secret_can_be_read_in_the_build_and_is_in_no_layer(
    mesh: FakeMesh, host: DockerHost, docker_engine: Engine
) -> None:
    mount = "--mount=type=secret,id=login/token,target=/run/secrets/login/token"
    text = f"FROM {host.image}\nRUN {mount} wc -c < /run/secrets/login/token > /size\n"
    mesh.tree = {"Dockerfile": text}
    mesh.secret_values["login"] = {"token": SECRET}
    report = await build(mesh, host, "m1", secrets=["login"])
    assert report["outcome"] == "succeeded", log(mesh, "m1")
    image = report["image"]
    assert docker_engine.run("run", "--rm", image, "cat", "/size") == str(len(SECRET))
    assert SECRET not in docker_engine.run("history", "--no-trunc", image)
    archive = host.folder / "image.tar"
    docker_engine.run("save", "--output", str(archive), image)
    assert SECRET.encode() not in archive.read_bytes()
    assert SECRET not in log(mesh, "m1")
    assert not any((host.folder / "scratch" / "tasks" / "w1").iterdir())
    assert not list((host.folder / "scratch" / "cache").rglob("Dockerfile"))


async def test_an_app_does_not_see_the_cache_of_another(mesh: FakeMesh, host: DockerHost) -> None:
    def text(command: str) -> str:
        return f"FROM {host.image}\nRUN --mount=type=cache,target=/cache {command}\n"

    mesh.tree = {"Dockerfile": text(f"echo of-leaf > /cache/{host.token}")}
    await build(mesh, host, "m1")
    mesh.tree = {"Dockerfile": text(f"cat /cache/{host.token}; echo {host.token}")}
    same = await build(mesh, host, "m2", commit="2b" * 20)
    assert "of-leaf" in log(mesh, "m2")
    assert same["outcome"] == "succeeded"
    mesh.tree = {"Dockerfile": text(f"ls /cache; ! test -e /cache/{host.token}; echo of-oak {host.token}")}
    other = await build(mesh, host, "m3", app="oak", commit="3c" * 20)
    assert other["outcome"] == "succeeded", log(mesh, "m3")
    assert "of-leaf" not in log(mesh, "m3")


async def test_a_build_that_fails_says_why_and_has_its_log(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.tree = {"Dockerfile": f"FROM {host.image}\nRUN echo began && echo 'no such thing: leaf' && exit 3\n"}
    report = await build(mesh, host, "m1")
    assert report["outcome"] == "failed"
    assert report["reason"] == {"code": "build", "detail": "no such thing: leaf"}
    assert any("began" in line for line in report["log_tail"])
    assert "no such thing: leaf" in log(mesh, "m1")


async def test_a_build_may_be_kept_from_the_network(mesh: FakeMesh, host: DockerHost) -> None:
    script = "import socket; print('interfaces', *[name for _, name in socket.if_nameindex()])"
    mesh.tree = {"Dockerfile": f'FROM {host.image}\nRUN python3 -c "{script}" # {host.token}\n'}
    report = await build(mesh, host, "m1", network="none")
    assert report["outcome"] == "succeeded", log(mesh, "m1")
    assert "interfaces lo\n" in log(mesh, "m1")


async def test_a_build_that_takes_too_long_is_ended(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.tree = {"Dockerfile": f"FROM {host.image}\nRUN sleep 600 # {host.token}\n"}
    report = await build(mesh, host, "m1", timeout=2.0)
    assert report["reason"] == {"code": "timeout", "detail": "it took longer than its timeout of 2 s"}


async def test_a_stop_ends_a_build(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.tree = {"Dockerfile": f"FROM {host.image}\nRUN echo sleeps && sleep 600 # {host.token}\n"}
    mesh.add_build("m1", base=host.image)
    async with host.run_worker():
        await mesh.wait_until(lambda: b"sleeps\n" in mesh.logs.get("log-m1", b""))
        mesh.stops.append({"task": "m1", "token": TOKEN})
        await mesh.notify()
        async with asyncio.timeout(10):
            report = await mesh.wait_for_report()
    assert report["outcome"] == "stopped"


async def test_a_folder_that_leads_outside_is_refused(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.tree = {"leaf/requirements.txt": "", "other.txt": ""}
    mesh.add_build("m1", base=host.image, context="nowhere")
    async with host.run_worker():
        report = await mesh.wait_for_report()
    assert report["reason"] == {"code": "build", "detail": 'there is no folder "nowhere" in the repository'}


async def test_an_image_is_pushed_and_runs_by_its_digest_where_it_was_not_built(
    mesh: FakeMesh, host: DockerHost, docker_engine: Engine, docker_registry: str
) -> None:
    mesh.tree = {"requirements.txt": f"# {host.token}\n", "service.py": "WORD = 'pushed'\n"}
    images = f"{docker_registry}/mlmesh"
    settings = {"images": images, "images_login": LOGIN}
    mesh.add_build("m1", base=host.image, repository=f"{images}/a/{host.token}")
    async with host.run_worker(**settings):
        report = await mesh.wait_for_report()
        await mesh.wait_until(lambda: "log-m1" in mesh.ended_logs)
    assert report["outcome"] == "succeeded", log(mesh, "m1")
    image = report["image"]
    assert image.startswith(f"{images}/a/{host.token}@sha256:")
    assert "engine" not in report, "any engine can have it"
    docker_engine.run("rmi", "--force", docker_engine.run("image", "inspect", "--format", "{{.Id}}", image))
    mesh.reports.clear()
    host.add_stage("import service; print(service.WORD)", image=image)
    async with host.run_worker(**settings):
        await mesh.wait_until(lambda: "log-t1" in mesh.ended_logs)
    assert mesh.logs["log-t1"] == b"pushed\n"


async def test_the_meshs_login_is_not_for_the_images_of_another_app(
    mesh: FakeMesh, host: DockerHost, docker_registry: str
) -> None:
    mesh.tree = {"Dockerfile": f"FROM {host.image}\n"}
    images = f"{docker_registry}/mlmesh"
    mesh.add_build("m1", base=host.image, repository=f"{images}/oak/{host.token}")
    async with host.run_worker(images=images, images_login=LOGIN):
        report = await mesh.wait_for_report()
    assert report["outcome"] == "failed"
    assert report["reason"]["code"] == "build"
    assert report["reason"]["detail"].startswith(f"cannot push the image {images}/oak/{host.token}: ")


async def test_an_image_that_nothing_runs_is_removed_and_others_stay(
    mesh: FakeMesh, host: DockerHost, docker_engine: Engine
) -> None:
    reports = {}
    for task in ("m1", "m2"):
        mesh.tree = {"Dockerfile": f"FROM {host.image}\nLABEL of={host.token}-{task}\n"}
        reports[task] = await build(mesh, host, task, commit=f"{task:0<40}")
    mesh.inventories.clear()
    mesh.removable_keys.add("key-m1")

    async def is_removed() -> bool:
        return not await asyncio.to_thread(docker_engine.has_image, reports["m1"]["image"])

    async with host.run_worker():
        await mesh.wait_until(lambda: mesh.inventories)
        await until(is_removed)
    (inventory,) = mesh.inventories
    assert inventory["engine"] == reports["m1"]["engine"]
    assert sorted((image["app"], image["key"], image["image"]) for image in inventory["images"]) == [
        ("a", "key-m1", reports["m1"]["image"]), ("a", "key-m2", reports["m2"]["image"]),
    ]  # fmt: skip
    assert docker_engine.has_image(reports["m2"]["image"])
