"""A mesh that is killed while apps are made from a template: each is there whole, or not at all."""

from __future__ import annotations

import threading
import time
from contextlib import closing, suppress

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from deploy.demo.show import Failed

NAMES = [f"leaf-{number}" for number in range(12)]
TIMEOUT_S = 60.0


def create(url: str, token: str, name: str, first: threading.Event) -> None:
    with closing(Api(url, token)) as api, suppress(Failed):
        api.send("POST", "/api/v1/apps", {"name": name, "template": "function"}, expect=(201,))
        first.set()


def test_after_a_kill_each_app_is_whole_or_absent(mesh: Mesh) -> None:
    first = threading.Event()
    threads = [threading.Thread(target=create, args=(mesh.url, mesh.token, name, first)) for name in NAMES]
    for thread in threads:
        thread.start()
    assert first.wait(TIMEOUT_S)
    mesh.crash()
    for thread in threads:
        thread.join()
    mesh.start()
    repositories = mesh.data / "registry/repositories"
    with closing(Api(mesh.url, mesh.token)) as api:
        made = {app["name"] for app in api.get("/api/v1/apps")["items"]}
        assert made
        deadline = time.monotonic() + TIMEOUT_S
        while {app["name"] for app in api.get("/api/v1/apps")["items"] if app["live"]} != made:
            assert time.monotonic() < deadline, api.get("/api/v1/apps")
            time.sleep(0.1)
        assert {folder.name.removesuffix(".git") for folder in repositories.glob("*.git")} == made
        assert list(repositories.glob("*.git/mlmesh-unfinished")) == []
        for name in sorted(set(NAMES) - made)[:1]:
            api.send("POST", "/api/v1/apps", {"name": name, "template": "function"}, expect=(201,))
