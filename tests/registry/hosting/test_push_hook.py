"""The hook asks over the socket that it inherits, and refuses when nobody answers."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.registry.hosting.push_hook import (
    MAX_QUESTION_BYTES,
    SCRIPT,
    SOCKET_VARIABLE,
    PushVerdict,
    RefUpdate,
    answer_hook,
    write_hook,
)

ZERO, ONE, TWO = "0" * 40, "1" * 40, "2" * 40


async def _run_hook(hook: Path, descriptor: int, updates: bytes, **environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(hook / "pre-receive"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(descriptor,),
        env={"PATH": os.environ["PATH"], SOCKET_VARIABLE: str(descriptor), **environment},
    )  # fmt: skip
    _, errors = await process.communicate(updates)
    return process.returncode or 0, errors.decode()


async def test_the_check_sees_the_refs_and_where_the_pushed_objects_are(tmp_path: Path) -> None:
    seen: list[tuple[Sequence[RefUpdate], Mapping[str, str]]] = []

    async def check(updates: Sequence[RefUpdate], environment: Mapping[str, str]) -> PushVerdict:
        seen.append((updates, environment))
        return PushVerdict(accepted=len(seen) == 1, lines=(f"said\x1b{len(seen)}",))

    lines = f"{ZERO} {ONE} refs/heads/main\n{TWO} {ZERO} refs/heads/a b\n".encode()
    for code, text in ((0, "said\ufffd1\n"), (1, "said\ufffd2\n")):
        async with answer_hook(check) as descriptor:
            found = await _run_hook(
                write_hook(tmp_path / "with space"), descriptor, lines, GIT_QUARANTINE_PATH="/q", GIT_DIR="/not/passed"
            )
        assert found == (code, text)
    updates, environment = seen[0]
    assert updates == [RefUpdate(ZERO, ONE, "refs/heads/main"), RefUpdate(TWO, ZERO, "refs/heads/a b")]
    assert [update.is_deletion for update in updates] == [False, True]
    assert environment == {"GIT_QUARANTINE_PATH": "/q"}


async def test_a_name_with_line_breaks_is_one_name(tmp_path: Path) -> None:
    seen: list[str] = []

    async def check(updates: Sequence[RefUpdate], _environment: Mapping[str, str]) -> PushVerdict:
        seen.extend(update.ref for update in updates)
        return PushVerdict(accepted=False, lines=("not allowed",))

    lines = f"{ZERO} {ONE} refs/heads/a\nb c\n\n{ZERO} {ONE} refs/heads/".encode() + b"\xff\n"
    async with answer_hook(check) as descriptor:
        assert await _run_hook(write_hook(tmp_path / "hooks"), descriptor, lines) == (1, "not allowed\n")
    assert seen == ["refs/heads/a\nb c\n", "refs/heads/\udcff"]


async def test_many_refs_in_one_push_are_read(tmp_path: Path) -> None:
    async def check(updates: Sequence[RefUpdate], _environment: Mapping[str, str]) -> PushVerdict:
        return PushVerdict(accepted=True, lines=(f"{len(updates)} refs",))

    lines = "".join(f"{ZERO} {ONE} refs/heads/{number}\n" for number in range(20_000)).encode()
    assert len(lines) < MAX_QUESTION_BYTES
    async with answer_hook(check) as descriptor:
        assert await _run_hook(write_hook(tmp_path / "hooks"), descriptor, lines) == (0, "20000 refs\n")


async def test_a_check_that_fails_refuses_the_push_with_a_sentence(tmp_path: Path) -> None:
    async def check(_updates: Sequence[RefUpdate], _environment: Mapping[str, str]) -> PushVerdict:
        raise ConnectionError

    async with answer_hook(check) as descriptor:
        code, text = await _run_hook(write_hook(tmp_path / "hooks"), descriptor, b"")
    assert (code, text) == (1, "mlmesh could not check this push, so nothing was stored; push again\n")


def test_a_hook_whose_registry_has_ended_refuses_with_a_sentence() -> None:
    ours, inherited = socket.socketpair()
    ours.close()
    for environ in ({}, {SOCKET_VARIABLE: "none"}, {SOCKET_VARIABLE: str(inherited.fileno())}):
        ended = subprocess.run(
            [sys.executable, "-IS", "-c", SCRIPT], input=b"", env=environ, pass_fds=(inherited.fileno(),),
            capture_output=True, check=False,
        )  # fmt: skip
        assert (ended.returncode, ended.stdout) == (1, b"")
        assert ended.stderr == b"mlmesh could not check this push, so nothing was stored; push again\n"
    inherited.close()
