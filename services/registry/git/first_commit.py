"""The first commit of a built-in repository, as the input of git-fast-import(1). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from services.registry.git.bare_repository import BRANCH_PREFIX

NO_NAME = "mlmesh"
FORBIDDEN_IN_NAMES = re.compile(r"[<>\x00-\x1f\x7f]")
"""Git ends a name at the first of these."""


@dataclass(frozen=True)
class FirstCommit:
    """`time` in epoch seconds; `files` are regular ones, by path in the repository."""

    branch: str
    author: str
    message: str
    time: float
    files: Mapping[str, bytes]

    def encode(self) -> bytes:
        return b"".join(self._encode_parts())

    def _encode_parts(self) -> Iterator[bytes]:
        name = FORBIDDEN_IN_NAMES.sub("", self.author).strip() or NO_NAME
        yield f"commit {BRANCH_PREFIX}{self.branch}\n".encode()
        yield f"committer {name} <> {int(self.time)} +0000\n".encode()
        yield _encode_data(f"{self.message.rstrip()}\n".encode())
        for path, content in sorted(self.files.items()):
            yield b"M 100644 inline " + _quote_path(path) + b"\n"
            yield _encode_data(content)
        yield b"done\n"


def _encode_data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)


def _quote_path(path: str) -> bytes:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'.encode()
