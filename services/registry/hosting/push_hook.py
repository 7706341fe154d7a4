"""The pre-receive hook of the built-in repositories: Git runs a script that asks this process over a socket pair.

The script inherits one end through Git, so there is no address that another process could connect to.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.registry.hosting.packet_lines import replace_controls

SOCKET_VARIABLE = "MLMESH_HOOK_SOCKET"
QUARANTINE_VARIABLES = (
    "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH", "GIT_SHALLOW_FILE",
)  # fmt: skip
"""With these Git reads the pushed objects, which are not in the repository yet."""
MAX_QUESTION_BYTES = 16 * 2**20
"""About 100,000 refs in one push."""
UPDATE = re.compile(r"[0-9a-f]{40,64} [0-9a-f]{40,64} ")
SCRIPT = f"""\
import json, os, socket, sys

try:
    with socket.socket(fileno=int(os.environ["{SOCKET_VARIABLE}"])) as registry:
        names = {QUARANTINE_VARIABLES!r}
        environment = {{name: os.environ[name] for name in names if name in os.environ}}
        question = {{"environment": environment, "updates": sys.stdin.buffer.read().decode(errors="surrogateescape")}}
        registry.sendall(json.dumps(question).encode() + b"\\n")
        answer = json.loads(registry.makefile("rb").readline())
except (KeyError, OSError, ValueError):
    answer = {{"lines": ["mlmesh could not check this push, so nothing was stored; push again"], "accepted": False}}
for line in answer["lines"]:
    print(line, file=sys.stderr)
sys.exit(0 if answer["accepted"] else 1)
"""


@dataclass(frozen=True)
class RefUpdate:
    """One ref of a push; a commit of zeros means that the ref does not exist (before, or after)."""

    old: str
    new: str
    ref: str

    @property
    def is_deletion(self) -> bool:
        return not self.new.strip("0")


@dataclass(frozen=True)
class PushVerdict:
    """Whether Git may move the refs, and what the client is told before."""

    accepted: bool
    lines: tuple[str, ...] = ()


CheckPush = Callable[[Sequence[RefUpdate], Mapping[str, str]], Awaitable[PushVerdict]]
"""Gets the updates, and the environment with which Git reads the pushed objects."""


def write_hook(folder: Path) -> Path:
    """Write the hook into `folder`, and return that for `core.hooksPath`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    script = folder / "pre-receive.py"
    script.write_text(SCRIPT)
    hook = folder / "pre-receive"
    hook.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -IS {shlex.quote(str(script))}\n")
    hook.chmod(0o700)
    return folder


@asynccontextmanager
async def answer_hook(check: CheckPush) -> AsyncIterator[int]:
    """Answer the hook of one push with `check`; yields the file descriptor that Git must inherit."""
    local_end, inherited = socket.socketpair()
    with local_end, inherited:
        local_end.setblocking(False)
        task = asyncio.create_task(_answer(local_end, check))
        try:
            yield inherited.fileno()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _answer(local_end: socket.socket, check: CheckPush) -> None:
    reader, writer = await asyncio.open_connection(sock=local_end.dup(), limit=MAX_QUESTION_BYTES)
    try:
        if question := await reader.readline():
            verdict = await check(*_parse_question(json.loads(question)))
            lines = [replace_controls(line) for line in verdict.lines]
            writer.write(json.dumps({"lines": lines, "accepted": verdict.accepted}).encode() + b"\n")
            await writer.drain()
    finally:
        writer.close()
        local_end.shutdown(socket.SHUT_RDWR)  # a hook that got no answer must not wait for one


def _parse_question(question: Mapping[str, Any]) -> tuple[list[RefUpdate], dict[str, str]]:
    updates: list[RefUpdate] = []
    for line in question["updates"].split("\n")[:-1]:
        if UPDATE.match(line):
            updates.append(RefUpdate(*line.split(" ", 2)))
        else:  # Git passes on a name with line breaks, and refuses it after the hook
            updates[-1] = replace(updates[-1], ref=f"{updates[-1].ref}\n{line}")
    return updates, dict(question["environment"])
