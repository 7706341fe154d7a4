"""Folders of a commit from which images are built."""

from __future__ import annotations

from services.registry.checks.builds import BuildContext
from services.registry.git.cache import GitCache
from services.registry.git.remotes import GitRemote
from tests.registry.working_copy import WorkingCopy


async def test_the_folders_that_exist_are_read_with_what_decides(
    git_cache: GitCache, working_copy: WorkingCopy
) -> None:
    files = {
        "leaf/requirements.txt": "numpy\n",
        "leaf/service.py": "x = 1\n",
        "leaf/docker/cpu": "FROM x\n",
        "leaf/deep/requirements.txt": "scipy\n",
        "leaf.txt": "no folder",
    }
    first = working_copy.commit(files)
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    reader = git_cache.get_reader("leafscan")
    contexts = await reader.read_build_contexts(
        first, {".": (), "leaf": ("docker/cpu", "docker/none"), "leaf.txt": (), "nowhere": ()}
    )
    assert sorted(contexts) == [".", "leaf"]
    assert contexts["leaf"].files == {"requirements.txt": b"numpy\n", "service.py": b"", "docker/cpu": b""}
    assert "leaf.txt" in contexts["."].files

    second = working_copy.commit({"other.txt": "new"})
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    later: dict[str, BuildContext] = await reader.read_build_contexts(second, {".": (), "leaf": ()})
    assert later["leaf"].tree == contexts["leaf"].tree
    assert later["."].tree != contexts["."].tree
