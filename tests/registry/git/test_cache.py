"""Cached copies of repositories, fetched with real Git over file://."""

import asyncio
import shutil
from pathlib import Path

import pytest

from libs.common.manifests.repository import location
from services.registry.git.cache import GitCache
from services.registry.git.error_messages import BranchNotFound
from services.registry.git.remotes import GitRemote
from tests.registry.working_copy import COMPONENT, MODULE, Work


async def test_the_head_is_asked_without_fetching(source: GitCache, work: Work, tmp_path: Path) -> None:
    head = work.git("rev-parse", "HEAD")
    assert await source.read_remote_head(GitRemote(work.url)) == head
    assert list((tmp_path / "registry").glob("git/*")) == []


async def test_a_repository_below_a_folder_with_spaces_is_read(source: GitCache, tmp_path: Path) -> None:
    work = Work(tmp_path / "my 100% repo")
    head = work.commit(MODULE)
    for url in (location(work.url), work.folder.as_uri()):
        assert await source.read_remote_head(GitRemote(url)) == head
        assert (await source.fetch("leafscan", GitRemote(url))).id == head


async def test_a_branch_is_not_confused_with_one_that_ends_alike(source: GitCache, work: Work) -> None:
    work.git("branch", "refs/heads/side")
    with pytest.raises(BranchNotFound):
        await source.read_remote_head(GitRemote(work.url, "side"))


@pytest.mark.parametrize("way", ["asked", "fetched"])
async def test_of_a_branch_that_is_not_there_the_others_are_told(source: GitCache, work: Work, way: str) -> None:
    work.git("branch", "feature/x")
    for seen, missing in ((False, "there is no branch nope"), (True, "branch nope is not there any more")):
        origin = GitRemote(work.url, "nope", branch_seen=seen)
        with pytest.raises(BranchNotFound) as failed:
            await (source.read_remote_head(origin) if way == "asked" else source.fetch("leafscan", origin))
        assert failed.value.detail == f"{missing}; the repository has: feature/x, main"


async def test_a_fetch_brings_the_commit_with_its_author_and_message(source: GitCache, work: Work) -> None:
    commit = await source.fetch("leafscan", GitRemote(work.url))
    assert commit.id == work.git("rev-parse", "HEAD")
    assert commit.author == "Alice <alice@example.org>"
    assert commit.message == "the first version"
    assert commit.committed_at == float(work.git("log", "-1", "--format=%ct"))


async def test_the_next_fetch_brings_the_next_head_also_after_a_forced_push(source: GitCache, work: Work) -> None:
    first = await source.fetch("leafscan", GitRemote(work.url))
    second = work.commit({"manifests/more.yaml": COMPONENT}, "second")
    assert (await source.fetch("leafscan", GitRemote(work.url))).id == second
    work.git("reset", "--quiet", "--hard", first.id)
    third = work.commit({}, "instead of the second")
    assert (await source.fetch("leafscan", GitRemote(work.url))).id == third


async def test_an_older_commit_is_fetched_by_its_id(source: GitCache, work: Work) -> None:
    first = work.git("rev-parse", "HEAD")
    work.commit({}, "second")
    assert (await source.fetch("leafscan", GitRemote(work.url), first)).message == "the first version"


async def test_what_a_killed_fetch_left_behind_does_not_stop_the_next(
    source: GitCache, work: Work, tmp_path: Path
) -> None:
    await source.fetch("leafscan", GitRemote(work.url))
    cache = tmp_path / "registry/git/leafscan.git"
    for leftover in ("shallow.lock", "packed-refs.lock", "refs/mlmesh/head.lock", "objects/pack/tmp_pack_x"):
        (cache / leftover).write_text("")
    second = work.commit({}, "second")
    assert (await source.fetch("leafscan", GitRemote(work.url))).id == second


@pytest.mark.parametrize("damaged", ["HEAD", "refs/mlmesh/head", "config", "objects/*/*", "objects", "shallow"])
@pytest.mark.parametrize("content", [b"", b"\xff\x00" * 100])
async def test_a_damaged_copy_is_fetched_anew(
    source: GitCache, work: Work, tmp_path: Path, damaged: str, content: bytes
) -> None:
    await source.fetch("leafscan", GitRemote(work.url))
    (cache,) = tmp_path.glob("registry/git/*")
    for path in [*cache.glob(damaged)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.chmod(0o600)
            path.write_bytes(content)
    for _ in range(2):
        found = await source.fetch("leafscan", GitRemote(work.url))
        assert found.id == work.git("rev-parse", "HEAD")
        assert await source.read_manifests("leafscan", found.id, "manifests")
        work.commit({"more.txt": found.id})


async def test_a_lost_cache_is_made_again(source: GitCache, work: Work) -> None:
    first = await source.fetch("leafscan", GitRemote(work.url))
    await source.delete("leafscan")
    assert not await source.has_commit("leafscan", first.id)
    assert await source.fetch("leafscan", GitRemote(work.url)) == first


async def test_folders_that_were_removed_are_made_again(source: GitCache, work: Work, tmp_path: Path) -> None:
    head = work.git("rev-parse", "HEAD")
    await source.fetch("leafscan", GitRemote(work.url), head)
    shutil.rmtree(tmp_path / "registry")
    assert await source.read_remote_head(GitRemote(work.url)) == head
    await source.fetch("leafscan", GitRemote(work.url), head)
    assert b"".join([piece async for piece in source.stream_archive("leafscan", head)])
    assert (tmp_path / "registry/home/gitconfig").read_text()


async def test_two_fetches_of_one_app_at_once_both_succeed(source: GitCache, work: Work) -> None:
    both = await asyncio.gather(*(source.fetch("leafscan", GitRemote(work.url)) for _ in range(2)))
    assert both[0] == both[1]
