"""Cached clones, fetched with real Git over file://."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from libs.common.manifests.repository import normalize_url
from services.registry.git import cache
from services.registry.git.address_policy import AddressPolicy
from services.registry.git.allowed_folders import AllowedFolders
from services.registry.git.cache import GitCache
from services.registry.git.client import GitClient
from services.registry.git.error_messages import GitFailed, RefNotFound
from services.registry.git.remotes import GitRemote
from tests.registry.working_copy import COMPONENT, MODULE, WorkingCopy


async def test_the_head_is_asked_without_fetching(
    git_cache: GitCache, working_copy: WorkingCopy, tmp_path: Path
) -> None:
    head = working_copy.git("rev-parse", "HEAD")
    assert await git_cache.read_remote_head(GitRemote(working_copy.url)) == head
    assert list((tmp_path / "registry").glob("git/*")) == []


async def test_a_repository_below_a_folder_with_spaces_is_read(git_cache: GitCache, tmp_path: Path) -> None:
    work = WorkingCopy(tmp_path / "my 100% repo")
    head = work.commit(MODULE)
    for url in (normalize_url(work.url), work.folder.as_uri()):
        assert await git_cache.read_remote_head(GitRemote(url)) == head
        assert (await git_cache.fetch("leafscan", GitRemote(url))).id == head


async def test_a_branch_is_not_confused_with_one_that_ends_alike(
    git_cache: GitCache, working_copy: WorkingCopy
) -> None:
    working_copy.git("branch", "refs/heads/side")
    with pytest.raises(RefNotFound):
        await git_cache.read_remote_head(GitRemote(working_copy.url, "side"))


@pytest.mark.parametrize("way", ["asked", "fetched"])
async def test_of_a_branch_that_is_not_there_the_others_are_told(
    git_cache: GitCache, working_copy: WorkingCopy, way: str
) -> None:
    working_copy.git("branch", "feature/x")
    for seen, missing in ((False, "there is no branch nope"), (True, "branch nope is not there any more")):
        origin = GitRemote(working_copy.url, "nope", head_seen=seen)
        with pytest.raises(RefNotFound) as failed:
            await (git_cache.read_remote_head(origin) if way == "asked" else git_cache.fetch("leafscan", origin))
        assert failed.value.detail == f"{missing}; the repository has: feature/x, main"


async def test_ten_thousand_branches_are_no_hindrance(git_cache: GitCache, working_copy: WorkingCopy) -> None:
    head = working_copy.create_branches(10_000)
    assert (await git_cache.fetch("leafscan", GitRemote(working_copy.url))).id == head
    with pytest.raises(RefNotFound) as failed:
        await git_cache.read_remote_head(GitRemote(working_copy.url, "nope"))
    assert failed.value.detail.startswith("there is no branch nope; the repository has: branch-0, branch-1, ")
    assert failed.value.detail.endswith(" and 9991 more")


def list_packs(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "registry/git").glob("leafscan.git/objects/pack/*.pack"))


async def test_what_is_fetched_stays_packed_since_git_unpacks_large_files_without_a_word(
    git_cache: GitCache, working_copy: WorkingCopy, tmp_path: Path
) -> None:
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    assert len(list_packs(tmp_path)) == 1
    assert list((tmp_path / "registry/git").glob("leafscan.git/objects/[0-9a-f][0-9a-f]/*")) == []


async def test_the_packs_of_many_fetches_are_merged(
    git_cache: GitCache, working_copy: WorkingCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MAX_PACKS", 3)
    first = working_copy.git("rev-parse", "HEAD")
    for number in range(8):
        working_copy.commit({"digits/more.py": f"# {number}\n"})
        await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    await git_cache.fetch("leafscan", GitRemote(working_copy.url), first)
    assert len(list_packs(tmp_path)) <= 4
    assert await git_cache.has_commit("leafscan", working_copy.git("rev-parse", "HEAD"))


async def test_a_repository_that_is_too_large_is_a_sentence_and_leaves_nothing_behind(
    tmp_path: Path, working_copy: WorkingCopy
) -> None:
    data = tmp_path / "registry"
    git = GitClient(data / "home", max_file_bytes=1_000_000)
    git_cache = GitCache(data / "git", git, AddressPolicy(AllowedFolders([str(tmp_path)], [data]), ()))
    working_copy.commit({"large.bin": os.urandom(3_000_000)})
    for _ in range(2):
        with pytest.raises(
            GitFailed, match="the newest commit is larger than 1 MB: keep data out of Git, in a DataBox"
        ):
            await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    assert sum(file.stat().st_size for file in data.rglob("*") if file.is_file()) < 100_000
    working_copy.commit({"large.bin": b"small"})
    assert (await git_cache.fetch("leafscan", GitRemote(working_copy.url))).message == "a change"


async def test_a_fetch_brings_the_commit_with_its_author_and_message(
    git_cache: GitCache, working_copy: WorkingCopy
) -> None:
    commit = await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    assert commit.id == working_copy.git("rev-parse", "HEAD")
    assert commit.author == "Alice <alice@example.org>"
    assert commit.message == "the first version"
    assert commit.committed_at == float(working_copy.git("log", "-1", "--format=%ct"))


async def test_the_next_fetch_brings_the_next_head_also_after_a_forced_push(
    git_cache: GitCache, working_copy: WorkingCopy
) -> None:
    first = await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    second = working_copy.commit({"manifests/more.yaml": COMPONENT}, "second")
    assert (await git_cache.fetch("leafscan", GitRemote(working_copy.url))).id == second
    working_copy.git("reset", "--quiet", "--hard", first.id)
    third = working_copy.commit({}, "instead of the second")
    assert (await git_cache.fetch("leafscan", GitRemote(working_copy.url))).id == third


async def test_an_older_commit_is_fetched_by_its_id(git_cache: GitCache, working_copy: WorkingCopy) -> None:
    first = working_copy.git("rev-parse", "HEAD")
    working_copy.commit({}, "second")
    assert (await git_cache.fetch("leafscan", GitRemote(working_copy.url), first)).message == "the first version"


async def test_what_a_killed_fetch_left_behind_does_not_stop_the_next(
    git_cache: GitCache, working_copy: WorkingCopy, tmp_path: Path
) -> None:
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    cache = tmp_path / "registry/git/leafscan.git"
    for leftover in ("shallow.lock", "packed-refs.lock", "refs/mlmesh/head.lock", "objects/pack/tmp_pack_x"):
        (cache / leftover).write_text("")
    second = working_copy.commit({}, "second")
    assert (await git_cache.fetch("leafscan", GitRemote(working_copy.url))).id == second


@pytest.mark.parametrize("damaged", ["HEAD", "refs/mlmesh/head", "config", "objects/*/*", "objects", "shallow"])
@pytest.mark.parametrize("content", [b"", b"\xff\x00" * 100])
async def test_a_damaged_copy_is_fetched_anew(
    git_cache: GitCache, working_copy: WorkingCopy, tmp_path: Path, damaged: str, content: bytes
) -> None:
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    (cache,) = tmp_path.glob("registry/git/*")
    for path in [*cache.glob(damaged)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.chmod(0o600)
            path.write_bytes(content)
    for _ in range(2):
        commit = await git_cache.fetch("leafscan", GitRemote(working_copy.url))
        assert commit.id == working_copy.git("rev-parse", "HEAD")
        assert await git_cache.get_reader("leafscan").read_manifests(commit.id, "manifests")
        working_copy.commit({"more.txt": commit.id})


async def test_a_lost_cache_is_made_again(git_cache: GitCache, working_copy: WorkingCopy) -> None:
    first = await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    await git_cache.delete("leafscan")
    assert not await git_cache.has_commit("leafscan", first.id)
    assert await git_cache.fetch("leafscan", GitRemote(working_copy.url)) == first


async def test_folders_that_were_removed_are_made_again(
    git_cache: GitCache, working_copy: WorkingCopy, tmp_path: Path
) -> None:
    head = working_copy.git("rev-parse", "HEAD")
    await git_cache.fetch("leafscan", GitRemote(working_copy.url), head)
    shutil.rmtree(tmp_path / "registry")
    assert await git_cache.read_remote_head(GitRemote(working_copy.url)) == head
    await git_cache.fetch("leafscan", GitRemote(working_copy.url), head)
    assert b"".join([piece async for piece in git_cache.stream_archive("leafscan", head)])
    assert (tmp_path / "registry/home/gitconfig").read_text()


async def test_two_fetches_of_one_app_at_once_both_succeed(git_cache: GitCache, working_copy: WorkingCopy) -> None:
    both = await asyncio.gather(*(git_cache.fetch("leafscan", GitRemote(working_copy.url)) for _ in range(2)))
    assert both[0] == both[1]
