"""A head is known without Git only while nothing can have changed it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.registry.git.cache import GitCache
from services.registry.git.error_messages import GitFailed
from services.registry.git.local_heads import SETTLED_S, LocalHeads, RefState, read_ref_state
from services.registry.git.remotes import GitRemote
from tests.registry.working_copy import MODULE, WorkingCopy

HEAD = "1" * 40
LOOSE = b"1" * 40 + b"\n"
NOW = 1_000.0


def packed_at(changed_at: float) -> tuple[int, int, int]:
    return 7, 100, int(changed_at * 1e9)


@pytest.mark.parametrize(
    ("state", "determines"),
    [
        (RefState((LOOSE, None), (None, None)), True),
        (RefState((None, None), (packed_at(NOW - SETTLED_S - 1), None)), True),
        (RefState((None, None), (packed_at(NOW - SETTLED_S / 2), None)), False),
        (RefState((LOOSE, None), (None, packed_at(NOW))), False),
        (RefState((b"ref: refs/heads/other\n", None), (None, None)), False),
        (RefState((None, None), (None, None)), False),
    ],
    ids=["own file", "packed long ago", "packed just now", "packed elsewhere just now", "names another", "nowhere"],
)
def test_a_state_determines_the_head(state: RefState, determines: bool) -> None:
    assert state.determines_head(NOW) is determines


def test_a_head_is_found_in_the_same_state_only() -> None:
    heads, remote, state = LocalHeads(), GitRemote("file:///git/leaf"), RefState((LOOSE,), (None,))
    heads.remember(remote, state, HEAD)
    assert heads.find(remote, state) == HEAD
    assert heads.find(GitRemote("file:///git/leaf", "side"), state) is None
    other = RefState((b"2" * 40 + b"\n",), (None,))
    assert heads.find(remote, other) is None
    heads.remember(remote, RefState((), ()), HEAD)
    assert heads.find(remote, state) is None, "what cannot be remembered replaces what was"


def test_other_hosts_and_tags_have_no_state() -> None:
    assert read_ref_state(GitRemote("https://git.example/leaf.git")) is None
    assert read_ref_state(GitRemote("file:///git/leaf", tags="v*")) is None


def as_pipe(ref: Path) -> None:
    ref.unlink()
    os.mkfifo(ref)


def as_link(ref: Path) -> None:
    ref.rename(ref.with_name("other"))
    ref.symlink_to("other")


@pytest.mark.parametrize(("change", "content"), [(as_pipe, None), (as_link, b"ref:"), (Path.unlink, None)])
def test_what_is_no_plain_file_is_not_read(
    working_copy: WorkingCopy, change: Callable[[Path], None], content: bytes | None
) -> None:
    change(working_copy.folder / ".git/refs/heads/main")
    state = read_ref_state(GitRemote(working_copy.url))
    assert state is not None
    assert [ref for ref in state.refs if ref] == ([content] if content else [])


def test_a_packed_branch_determines_the_head_once_its_file_is_old(working_copy: WorkingCopy) -> None:
    working_copy.git("pack-refs", "--all")
    state = read_ref_state(GitRemote(working_copy.url))
    assert state is not None
    assert not any(state.refs)
    changed_at = (working_copy.folder / ".git/packed-refs").stat().st_ctime
    assert [state.determines_head(changed_at + age) for age in (0, SETTLED_S + 1)] == [False, True]


async def test_an_unchanged_head_is_not_asked_again(git_cache: GitCache, working_copy: WorkingCopy) -> None:
    remote, head = GitRemote(working_copy.url), working_copy.git("rev-parse", "HEAD")
    assert await git_cache.read_remote_head(remote) == head
    objects = working_copy.folder / ".git/objects"
    objects.rename(objects.with_name("hidden"))  # Git would fail
    assert await git_cache.read_remote_head(remote) == head
    objects.with_name("hidden").rename(objects)
    second = working_copy.commit({})
    assert await git_cache.read_remote_head(remote) == second


async def test_a_branch_that_names_another_is_asked_each_time(git_cache: GitCache, tmp_path: Path) -> None:
    work = WorkingCopy(tmp_path / "aliased")
    work.commit(MODULE)
    work.git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
    remote = GitRemote(work.url, "alias")
    assert await git_cache.read_remote_head(remote) == work.git("rev-parse", "main")
    second = work.commit({})
    assert await git_cache.read_remote_head(remote) == second


async def test_a_repository_that_is_gone_is_not_known_any_more(git_cache: GitCache, working_copy: WorkingCopy) -> None:
    remote = GitRemote(working_copy.url)
    await git_cache.read_remote_head(remote)
    working_copy.folder.rename(working_copy.folder.with_name("moved"))
    with pytest.raises(GitFailed):
        await git_cache.read_remote_head(remote)
