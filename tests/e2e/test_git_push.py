"""From an empty mesh to a prediction with `git push` alone, through the gateway, with Git's own client."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import MLMESH, Mesh

FILES = {
    "manifests/shout.yml": """\
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: shout}
spec:
  image: {existingImageName: "shout:1"}
  mlService: {inference: "shout:shout"}
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: shout}
spec:
  mlComponent: {name: shout}
  restfulApi: {path: shout, auth: {none: {}}}
""",
    "shout.py": "def shout(text: str) -> dict:\n    return {'said': text.upper()}\n",
}
LARGE = 3_000_000
"""Bytes of a file that Git sends in chunks: more than its `http.postBuffer`."""


class Clone:
    """A working copy whose Git signs in with `mlmesh git-credential`."""

    def __init__(self, mesh: Mesh, folder: Path, name: str) -> None:
        self.mesh, self.folder, self.url = mesh, folder, f"{mesh.url}/git/{name}.git"
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "credential.helper", f"!{MLMESH} git-credential")

    @property
    def environ(self) -> dict[str, str]:
        return {**self.mesh.environ, "GIT_TERMINAL_PROMPT": "0", "HOME": str(self.mesh.folder)}

    def git(self, *arguments: str, code: int = 0) -> str:
        identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
        ended = subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == code, ended.stderr
        return ended.stdout + ended.stderr

    def commit(self, files: dict[str, str]) -> str:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=change")
        return self.git("rev-parse", "HEAD").strip()

    def push_on_a_terminal(self) -> str:
        """What a person sees."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execvpe("git", ["git", "push", self.url, "main"], self.environ)  # noqa: S606
        seen = b""
        while True:
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # the terminal's other side has closed
                piece = b""
            if not piece:
                break
            seen += piece
        os.close(terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, seen.decode()
        return seen.decode()


@pytest.fixture
def clone(embedded: Mesh, tmp_path: Path, request: pytest.FixtureRequest) -> Clone:
    return Clone(embedded, tmp_path / "copy", request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-"))


def test_on_an_empty_mesh_a_push_is_all_it_takes(clone: Clone, api: Api) -> None:
    clone.commit(FILES)
    seen = clone.push_on_a_terminal()
    address = clone.url.replace("/git/", "/").removesuffix(".git") + "/shout/predict"
    for part in ("the manifests are valid", "deploying, as deployment", "live after", address, "main -> main"):
        assert part in seen, seen
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
