"""Link-local addresses are blocked for containers; an address in a network namespace stands for a cloud's metadata."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator

import pytest

from tests.worker.docker_host import DockerHost
from tests.worker.fake_mesh import FakeMesh

METADATA = "169.254.169.254"
SCRIPT = f"""
import socket
try:
    socket.create_connection(("{METADATA}", 80), 3)
except OSError as error:
    print(error.strerror or error)
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def metadata() -> Iterator[None]:
    """Nothing listens there: whoever reaches it gets "connection refused"."""
    name = f"m{uuid.uuid4().hex[:8]}"
    ip("netns", "add", name)
    try:
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", "169.254.169.1/24", "dev", name)
        ip("link", "set", name, "up")
        ip("-n", name, "addr", "add", f"{METADATA}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "route", "add", "default", "via", "169.254.169.1")
        yield
    finally:
        ip("netns", "del", name)


@pytest.mark.usefixtures("metadata")
async def test_a_build_does_not_reach_a_clouds_metadata(mesh: FakeMesh, host: DockerHost) -> None:
    mesh.tree = {
        "look.py": SCRIPT,
        "Dockerfile": f"FROM {host.image}\nCOPY look.py .\nRUN python3 look.py # {host.token}\n",
    }
    try:
        async with host.run_worker():
            mesh.add_build("m1", base=host.image)
            report = await mesh.wait_for_report()
            await mesh.wait_until(lambda: "log-m1" in mesh.ended_logs)
    finally:
        async with host.run_worker(link_local=True):
            pass  # deletes the rules
    host.engine.run("rmi", "--force", report["image"])
    assert "No route to host" in mesh.logs["log-m1"].decode()


@pytest.mark.usefixtures("metadata")
async def test_a_clouds_metadata_is_reached_only_where_that_is_allowed(mesh: FakeMesh, host: DockerHost) -> None:
    values = {"app_subnets": "10.212.0.0/16"}
    for task, allowed in (("t1", False), ("t2", True), ("t3", False)):
        async with host.run_worker(**values, link_local=allowed):
            mesh.add_stage(task, "", image=host.image, entry_point=["python3", "-u", "-c", SCRIPT])
            await mesh.wait_until(lambda: f"log-{task}" in mesh.ended_logs)  # noqa: B023
    async with host.run_worker(**values, link_local=True):
        pass  # deletes the rule
    errors = {task: mesh.logs[f"log-{task}"].decode().strip() for task in ("t1", "t2", "t3")}
    assert errors == {"t1": "No route to host", "t2": "Connection refused", "t3": "No route to host"}
