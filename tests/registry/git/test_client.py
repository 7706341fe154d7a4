"""Git as a subprocess: isolated from this host, bounded in time."""

import asyncio
import os
from pathlib import Path

import pytest

from services.registry.git.cache import GitCache
from services.registry.git.client import GitClient
from services.registry.git.error_messages import GitFailed
from services.registry.git.remotes import GitRemote
from tests.registry.working_copy import WorkingCopy


async def test_hooks_and_configuration_of_the_repository_and_of_this_user_do_not_run(
    git_cache: GitCache, working_copy: WorkingCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    hook = working_copy.folder / ".git/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
    hook.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[url "file:///elsewhere"]\n\tinsteadOf = {working_copy.url}\n[core]\n\tfsmonitor = "touch {trap}"\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert (await git_cache.fetch("leafscan", GitRemote(working_copy.url))).message == "the first version"
    assert not trap.exists()


async def test_a_server_that_stops_in_the_middle_is_given_up_and_one_that_tells_its_progress_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script replaces Git: only its output matters."""
    programs = tmp_path / "bin"
    programs.mkdir()
    git = programs / "git"
    git.write_text(
        '#!/bin/sh\nfor n in 1 2 3 4 5; do sleep 0.5; printf "Receiving objects: $n%%\\r" >&2; done\n$THEN\n'
    )
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    assert await GitClient(tmp_path / "home").run("fetch", timeout=60, idle_timeout=2) == b""
    git.write_text(git.read_text().replace("$THEN", "sleep 60"))
    with pytest.raises(GitFailed, match="sent nothing for 2 s"):
        await GitClient(tmp_path / "home").run("fetch", timeout=60, idle_timeout=2)


async def test_git_is_stopped_at_its_time_with_all_that_it_started(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 20)
        await reader.read()  # ends when the other side is gone
        stopped.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    with pytest.raises(GitFailed, match=r"git ls-remote took longer than 0\.5 s and was stopped"):
        await GitClient(tmp_path / "home").run("ls-remote", "--", url, timeout=0.5)
    async with asyncio.timeout(5):
        await stopped.wait()
    server.close()
