"""A working copy that pushes to the built-in repositories with Git's own client."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

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

    def commit(self, files: Mapping[str, str]) -> str:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=change")
        return self.git("rev-parse", "HEAD").strip()

    def push_on_a_terminal(self) -> tuple[str, list[float]]:
        """What a person sees, and when lines of the mesh have come."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execvpe("git", ["git", "push", self.url, "main"], self.environ)  # noqa: S606
        seen, times = b"", list[float]()
        while True:
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # the terminal's other side has closed
                piece = b""
            if not piece:
                break
            seen += piece
            if b"remote:" in piece:
                times.append(time.monotonic())
        os.close(terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, seen.decode()
        return seen.decode(), times
