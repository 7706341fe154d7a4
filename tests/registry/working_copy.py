"""A developer's working copy for tests, with real Git."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

IDENTITY = ("-c", "user.name=Alice", "-c", "user.email=alice@example.org", "-c", "init.defaultBranch=main")
COMPONENT = """\
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: digits}
spec:
  image: {existingImageName: digits:1}
  mlService: {inference: "digits.predict:predict"}
"""
API = """\
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: digits-api}
spec:
  mlComponent: {name: digits}
  restfulApi: {path: digits, auth: {none: {}}}
"""
PROTECTED_API = """\
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: digits-api}
spec:
  mlComponent: {name: digits}
  restfulApi: {path: digits, auth: {basic: {credentials: api-users}}}
---
apiVersion: mlmesh/v1
kind: Secret
metadata: {name: api-users}
spec: {keys: [alice]}
"""
MODULE = {"manifests/component.yaml": COMPONENT, "manifests/api.yml": API, "digits/predict.py": "def predict(): ...\n"}


class WorkingCopy:
    """The mesh fetches its commits from `url`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet")

    @property
    def url(self) -> str:
        return f"file://{self.folder}"

    def git(self, *arguments: str) -> str:
        command = ("git", *IDENTITY, *arguments)
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, files: Mapping[str, str | bytes], message: str = "a change") -> str:
        """The new commit's id."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def pack_head(self) -> tuple[str, bytes]:
        """The head's id, and the pack that a push of it sends."""
        head = self.git("rev-parse", "HEAD")
        command = ("git", "pack-objects", "--revs", "--stdout", "-q")
        packed = subprocess.run(command, cwd=self.folder, input=head.encode(), check=True, capture_output=True)
        return head, packed.stdout

    def create_branches(self, count: int) -> str:
        """`branch-0` and so on, all at the head, whose id is returned."""
        head = self.git("rev-parse", "HEAD")
        lines = "".join(f"create refs/heads/branch-{number} {head}\n" for number in range(count))
        subprocess.run(("git", "update-ref", "--stdin"), cwd=self.folder, input=lines.encode(), check=True)
        self.git("pack-refs", "--all")
        return head
