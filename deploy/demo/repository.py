"""The developer's side: a working copy of the module, its origin, and the forge that announces a push."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path

from deploy.demo.show import Failed

MODULE = Path(__file__).parent / "module"
IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
}  # fmt: skip
UNWANTED = shutil.ignore_patterns("__pycache__", ".*_cache")


class Repository:
    def __init__(self, folder: Path) -> None:
        self.origin = folder / "digits.git"
        self.url = f"file://{self.origin}"
        """Where the mesh finds the origin."""
        self.working = folder / "digits"
        self.head = ""
        folder.mkdir(parents=True)
        self._git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.origin))
        self._git(folder, "init", "--quiet", "--initial-branch=main", str(self.working))
        self._git(self.working, "remote", "add", "origin", str(self.origin))

    def commit(self, message: str, *paths: str) -> None:
        """Copy `paths` of the demo's module into the working copy and commit them."""
        for path in paths:
            source, target = MODULE / path, self.working / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True, ignore=UNWANTED)
            else:
                shutil.copyfile(source, target)
        self._git(self.working, "add", "--all")
        self._git(self.working, "commit", "--quiet", f"--message={message}")
        self.head = self._git(self.working, "rev-parse", "HEAD")

    def push(self) -> None:
        self._git(self.working, "push", "--quiet", "origin", "main")

    def _git(self, folder: Path, *arguments: str) -> str:
        environ = {**os.environ, **IDENTITY}
        done = subprocess.run(["git", *arguments], cwd=folder, env=environ, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"git {arguments[0]}: {done.stderr.strip()}")
        return done.stdout.strip()


def announcement(repository: Repository, secret: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the delivery with which GitHub announces a push."""
    body = json.dumps(
        {
            "ref": "refs/heads/main",
            "after": repository.head,
            "deleted": False,
            "repository": {"full_name": "ada/digits", "default_branch": "main"},
            "pusher": {"name": "ada"},
        }
    ).encode()
    headers = {
        "Authorization": "",  # of the forge, instead of the owner's token: the signature must be enough
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }
    return body, headers
