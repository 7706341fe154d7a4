"""A mesh that is killed while somebody pushes: nothing half is kept, and what Git has stored is deployed."""

from __future__ import annotations

import base64
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from services.registry.hosting.packet_lines import FLUSH, encode_packet
from tests.e2e.clone import FILES, Clone

APP = "killed"
LARGE = 4_000_000
TIMEOUT_S = 60.0
LOOK_INTERVAL_S = 0.01


@pytest.fixture
def clone(mesh: Mesh, tmp_path: Path) -> Clone:
    """Whose first version is live."""
    clone = Clone(mesh, tmp_path / "copy", APP)
    clone.commit(FILES)
    clone.git("push", "--quiet", clone.url, "main")
    return clone


def wait_until(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(LOOK_INTERVAL_S)


def hosted(mesh: Mesh) -> Path:
    return mesh.data / f"registry/repositories/{APP}.git"


def list_leftovers(mesh: Mesh) -> list[str]:
    return [str(path) for pattern in ("tmp_*", "incoming-*", "*.lock") for path in hosted(mesh).rglob(pattern)]


def kill(mesh: Mesh) -> None:
    """The mesh, and the Git that it started, as the end of their host does."""
    mesh.crash()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == hosted(mesh):
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue


def restart(mesh: Mesh, clone: Clone) -> None:
    """On another port."""
    mesh.start()
    clone.url = f"{mesh.url}/git/{APP}.git"


def find_live_commit(mesh: Mesh) -> str:
    with closing(Api(mesh.url, mesh.token)) as api:
        items = api.get(f"/api/v1/apps/{APP}/deployments")["items"]
    return next((item["commit"] for item in items if item["status"] == "live"), "")


def start_half_a_push(clone: Clone, commit: str) -> http.client.HTTPConnection:
    """The commands of a push and the first half of its pack, as Git's client sends them."""
    old = clone.git("rev-parse", f"{commit}~1").strip()
    pack = subprocess.run(
        ["git", "pack-objects", "--revs", "--stdout", "-q"],
        cwd=clone.folder, input=f"{commit}\n^{old}\n".encode(), capture_output=True, check=True,
    ).stdout  # fmt: skip
    command = encode_packet(f"{old} {commit} refs/heads/main\0 report-status side-band-64k".encode()) + FLUSH
    address = urlsplit(clone.mesh.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_S)
    connection.putrequest("POST", f"/git/{APP}.git/git-receive-pack")
    authorization = base64.b64encode(f"x:{clone.mesh.token}".encode()).decode()
    for name, value in (
        ("Authorization", f"Basic {authorization}"),
        ("Content-Type", "application/x-git-receive-pack-request"),
        ("Content-Length", str(len(command) + len(pack))),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(command + pack[: len(pack) // 2])
    return connection


def test_killed_in_the_middle_of_a_pack_it_keeps_nothing_of_it(mesh: Mesh, clone: Clone) -> None:
    first = clone.git("rev-parse", "HEAD").strip()
    (clone.folder / "large.bin").write_bytes(os.urandom(LARGE))
    second = clone.commit({})
    with closing(start_half_a_push(clone, second)):
        wait_until("half of the pack is written", lambda: any(hosted(mesh).rglob("tmp_pack_*")))
        kill(mesh)
    restart(mesh, clone)
    wait_until("the half is removed", lambda: list_leftovers(mesh) == [])
    assert clone.git("ls-remote", clone.url, "refs/heads/main").split()[0] == first
    assert find_live_commit(mesh) == first
    clone.git("push", "--quiet", clone.url, "main")
    assert (find_live_commit(mesh), list_leftovers(mesh)) == (second, [])


def test_killed_when_git_has_stored_a_commit_it_deploys_that_after_the_start(mesh: Mesh, clone: Clone) -> None:
    second = clone.commit({"shout.py": "def shout(text: str) -> dict:\n    return {'said': 'second'}\n"})
    pushing = subprocess.Popen(
        ["git", "push", clone.url, "main"], cwd=clone.folder, env=clone.environ, stderr=subprocess.DEVNULL
    )
    ref = hosted(mesh) / "refs/heads/main"
    wait_until("Git has stored the commit", lambda: ref.read_text().strip() == second)
    kill(mesh)
    pushing.wait(TIMEOUT_S)
    restart(mesh, clone)
    wait_until("it is live", lambda: find_live_commit(mesh) == second)
    assert list_leftovers(mesh) == []
