from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from services.registry.git.first_commit import FirstCommit

FILES = {'a b/é "q".py': b"\xff\n", "README.md": b"", ".gitignore": b"x"}


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    command = ["git", "-C", str(folder), "-c", "core.quotePath=false", *arguments]
    return subprocess.run(command, input=stdin, check=True, capture_output=True).stdout.decode()


@pytest.mark.parametrize(
    ("author", "name"), [("token ci", "token ci"), ("user <a\n> b", "user a b"), ("\n", "mlmesh"), ("Ада", "Ада")]
)
def test_git_makes_a_commit_of_it(tmp_path: Path, author: str, name: str) -> None:
    git(tmp_path, "init", "--quiet", "--bare")
    commit = FirstCommit("main", author, "First version\n\nof ours", 1_700_000_000.9, FILES)
    git(tmp_path, "fast-import", "--quiet", "--done", stdin=commit.encode())
    shown = git(tmp_path, "log", "--format=%an|%ae|%cn|%at|%B|%P", "main").strip()
    assert shown == f"{name}||{name}|1700000000|First version\n\nof ours\n|"
    assert git(tmp_path, "ls-tree", "-r", "--name-only", "-z", "main").split("\0")[:-1] == sorted(FILES)
    assert git(tmp_path, "fsck", "--strict") == ""


def test_what_breaks_off_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare")
    whole = FirstCommit("main", "a", "m", 0.0, FILES).encode()
    with pytest.raises(subprocess.CalledProcessError):
        git(tmp_path, "fast-import", "--quiet", "--done", stdin=whole.removesuffix(b"done\n"))
