"""From an empty mesh to a prediction with `git push` alone, through the gateway, with Git's own client."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import MLMESH, Mesh
from tests.e2e.clone import FILES, Clone

EARLY_S = 0.1
"""The first lines come before the component starts, which takes longer than this."""
TOO_LARGE = 260 * 2**20
LARGE = 3_000_000
"""Bytes of a file that Git sends in chunks: more than its `http.postBuffer`."""


@pytest.fixture
def clone(embedded: Mesh, tmp_path: Path, request: pytest.FixtureRequest) -> Clone:
    return Clone(embedded, tmp_path / "copy", request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-"))


def test_on_an_empty_mesh_a_push_is_all_it_takes(clone: Clone, api: Api) -> None:
    clone.commit(FILES)
    seen, times = clone.push_on_a_terminal()
    address = clone.url.replace("/git/", "/").removesuffix(".git") + "/shout/predict"
    for part in ("the manifests are valid", "deploying, as deployment", "live after", address, "main -> main"):
        assert part in seen, seen
    assert len(times) >= 3, seen  # as it happens, not all of it at the end
    assert times[-1] - times[0] > EARLY_S
    body = {"inputs": [{"name": "text", "datatype": "str", "data": "hi"}]}
    answer = api.send("POST", address.removeprefix(clone.mesh.url), body)
    assert answer.json()["outputs"][0]["data"] == "HI"


def test_a_mistake_refuses_the_push_where_it_is(clone: Clone) -> None:
    clone.commit({**FILES, "manifests/shout.yml": FILES["manifests/shout.yml"].replace("path: shout", "paht: shout")})
    seen = clone.git("push", clone.url, "main", code=1)
    assert 'remote: manifests/shout.yml:13:16: unknown field "paht"; did you mean "path"?' in seen
    assert clone.git("ls-remote", clone.url) == ""


def test_large_pushes_and_clones_come_through_the_gateway(clone: Clone, tmp_path: Path) -> None:
    (clone.folder / "data.bin").write_bytes(os.urandom(LARGE))
    commit = clone.commit(FILES)
    clone.git("push", "--quiet", clone.url, "main")
    other = Clone(clone.mesh, tmp_path / "other", "unused")
    other.git("clone", "--quiet", "--config", f"credential.helper=!{MLMESH} git-credential", clone.url, "again")
    assert other.git("-C", "again", "rev-parse", "HEAD").strip() == commit
    assert (other.folder / "again/data.bin").stat().st_size == LARGE


def test_a_push_of_more_than_256_mb_is_refused_and_stores_nothing(clone: Clone) -> None:
    """Zeros that Git does not compress: written and sent within seconds."""
    clone.commit(FILES)
    clone.git("config", "core.compression", "0")
    with (clone.folder / "zeros.bin").open("wb") as file:
        file.truncate(TOO_LARGE)
    clone.commit({})
    seen = clone.git("push", clone.url, "main", code=1)
    assert "pack exceeds maximum allowed size" in seen, seen
    assert clone.git("ls-remote", clone.url) == ""
    stored = clone.mesh.data / "registry/repositories" / clone.url.rpartition("/")[2]
    assert sum(file.stat().st_size for file in stored.rglob("*") if file.is_file()) < LARGE


def test_without_a_valid_token_nothing_is_made(clone: Clone) -> None:
    clone.commit(FILES)
    clone.git("config", "credential.helper", "")
    assert "could not read Username" in clone.git("push", clone.url, "main", code=128)
    seen = clone.git("push", clone.url.replace("://", "://x:wrong@"), "main", code=128)
    assert "Authentication failed" in seen
    listed = json.loads(subprocess.run(
        [MLMESH, "app", "list", "--json"], env=clone.environ, check=True, capture_output=True, text=True
    ).stdout)  # fmt: skip
    assert clone.url.rpartition("/")[2].removesuffix(".git") not in [app["name"] for app in listed]
