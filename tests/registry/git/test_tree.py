"""The tree of a commit: which manifests and files are read, and its archive."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from libs.common.manifests import Problem
from libs.common.python_packages import check_requirements
from libs.common.repository_tree import LINK_MODE, SUBMODULE_MODE, TreePath
from services.registry.git.cache import GitCache
from services.registry.git.error_messages import GitFailed
from services.registry.git.remotes import GitRemote
from services.registry.git.tree import InvalidRevision, TreeContents, TreeEntry, check_manifest_limits
from tests.registry.working_copy import COMPONENT, MODULE, WorkingCopy

SRC = 'code below src/ cannot be imported until it is installed; add a line "." to requirements.txt'


async def test_only_manifests_of_the_folder_are_read_in_sub_folders_too(
    git_cache: GitCache, working_copy: WorkingCopy
) -> None:
    files = {
        "manifests/sub/deep.yml": "a: 1\n",
        "manifests/README.md": "no",
        "other/x.yaml": "no",
        "manifests2/x.yaml": "no",
    }
    commit = working_copy.commit(files)
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    contents = await git_cache.get_reader("leafscan").read_manifests(commit, "manifests")
    assert sorted(contents) == ["manifests/api.yml", "manifests/component.yaml", "manifests/sub/deep.yml"]
    assert contents["manifests/component.yaml"] == COMPONENT.encode()
    assert contents["manifests/sub/deep.yml"] == b"a: 1\n"
    assert sorted(await git_cache.get_reader("leafscan").read_manifests(commit, "other")) == ["other/x.yaml"]
    assert "other/x.yaml" in await git_cache.get_reader("leafscan").read_manifests(commit, ".")


async def test_names_of_any_letters_and_empty_files_are_read(git_cache: GitCache, working_copy: WorkingCopy) -> None:
    commit = working_copy.commit(
        {"manifests/über läng.yaml": "x: ü\n", "manifests/empty.yaml": "", "manifests/z\ty.yaml": "z: 1\n"}
    )
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    contents = await git_cache.get_reader("leafscan").read_manifests(commit, "manifests")
    assert contents["manifests/über läng.yaml"] == "x: ü\n".encode()
    assert contents["manifests/empty.yaml"] == b""
    assert contents["manifests/z\ty.yaml"] == b"z: 1\n"


async def test_a_file_of_10_mb_is_refused_by_its_name_without_being_read(
    git_cache: GitCache, working_copy: WorkingCopy
) -> None:
    commit = working_copy.commit({"manifests/big.yaml": b"#" * 10_000_000})
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    with pytest.raises(InvalidRevision) as refused:
        await git_cache.get_reader("leafscan").read_manifests(commit, "manifests")
    (problem,) = refused.value.problems
    assert (problem.file, problem.line, problem.column) == ("manifests/big.yaml", 1, 1)
    assert "10000000 bytes are too large" in problem.message


async def test_a_link_is_refused_as_a_manifest(git_cache: GitCache, working_copy: WorkingCopy) -> None:
    (working_copy.folder / "manifests/link.yaml").symlink_to("/etc/passwd")
    commit = working_copy.commit({})
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    with pytest.raises(InvalidRevision, match="not a regular file"):
        await git_cache.get_reader("leafscan").read_manifests(commit, "manifests")


async def test_manifests_whose_names_are_not_utf_8_are_all_read(git_cache: GitCache, working_copy: WorkingCopy) -> None:
    for name in (b"caf\xe9.yml", b"caf\xe8.yml"):
        Path(os.fsdecode(os.fsencode(working_copy.folder / "manifests") + b"/" + name)).write_text(COMPONENT)
    commit = working_copy.commit({})
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    contents = await git_cache.get_reader("leafscan").read_manifests(commit, "manifests")
    assert {"manifests/caf\\xe9.yml", "manifests/caf\\xe8.yml"} < set(contents)


async def test_names_that_differ_in_case_alone_are_two_manifests(
    git_cache: GitCache, working_copy: WorkingCopy
) -> None:
    commit = working_copy.commit({"manifests/API.yml": COMPONENT})
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    contents = await git_cache.get_reader("leafscan").read_manifests(commit, "manifests")
    assert contents["manifests/API.yml"] == COMPONENT.encode() != contents["manifests/api.yml"]


@pytest.mark.parametrize("name", ["manifests/sub", "manifests/sub.yml"])
async def test_a_submodule_among_the_manifests_is_not_read(
    git_cache: GitCache, working_copy: WorkingCopy, name: str
) -> None:
    head = working_copy.git("rev-parse", "HEAD")
    working_copy.git("update-index", "--add", "--cacheinfo", f"160000,{head},{name}")
    working_copy.git("commit", "--quiet", "--message=submodule")
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    reader, commit = git_cache.get_reader("leafscan"), working_copy.git("rev-parse", "HEAD")
    if name.endswith(".yml"):
        with pytest.raises(InvalidRevision, match="not a regular file"):
            await reader.read_manifests(commit, "manifests")
    else:
        assert sorted(await reader.read_manifests(commit, "manifests")) == [
            "manifests/api.yml", "manifests/component.yaml",
        ]  # fmt: skip
    assert TreePath(name, SUBMODULE_MODE) in (await reader.read_tree_contents(commit)).items


async def test_a_folder_of_manifests_that_became_a_link_is_refused_as_one(
    git_cache: GitCache, working_copy: WorkingCopy
) -> None:
    (working_copy.folder / "manifests").rename(working_copy.folder / "deploy")
    (working_copy.folder / "manifests").symlink_to("deploy")
    commit = working_copy.commit({})
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    with pytest.raises(InvalidRevision, match="a link, which is not followed; commit the folder itself"):
        await git_cache.get_reader("leafscan").read_manifests(commit, "manifests")


async def test_links_and_packages_of_the_whole_tree_are_found(git_cache: GitCache, working_copy: WorkingCopy) -> None:
    (working_copy.folder / "venv").mkdir()
    (working_copy.folder / "venv/python").symlink_to("/usr/bin/python3")
    (working_copy.folder / "long").symlink_to("x" * 4095)
    (working_copy.folder / "pyproject.toml").symlink_to("src/other.toml")
    commit = working_copy.commit(
        {"requirements.txt": "numpy\n", "src/a/b.py": "1", "src/a/c/d.py": "1", "Pipfile": "x"}
    )
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    contents = await git_cache.read_tree_contents("leafscan", commit)
    links = {item.path: item.target for item in contents.items if item.mode == LINK_MODE}
    assert links == {"venv/python": "/usr/bin/python3", "long": "", "pyproject.toml": "src/other.toml"}
    assert {path: text for path, text in contents.files.items() if text} == {"requirements.txt": b"numpy\n"}
    assert set(contents.files) == {"long", "pyproject.toml", "requirements.txt", "Pipfile", "src/a/b.py"}
    assert list(check_requirements(contents.files)) == [Problem("src", 1, 1, SRC, "warning")]


async def test_what_is_looked_at_is_bounded(
    git_cache: GitCache, working_copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.registry.git.commit_reader.MAX_ENTRIES", 3)
    monkeypatch.setattr("services.registry.git.commit_reader.MAX_READ_BYTES", 25)
    for number in range(5):
        (working_copy.folder / f"link{number}").symlink_to("/usr/bin/python3")
    commit = working_copy.commit({})
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    (read,) = (await git_cache.read_tree_contents("leafscan", commit)).items
    assert read == TreePath("link0", LINK_MODE, "/usr/bin/python3")


async def test_a_tree_that_cannot_be_listed_gives_no_warnings(git_cache: GitCache, working_copy: WorkingCopy) -> None:
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    assert await git_cache.read_tree_contents("leafscan", "0" * 40) == TreeContents()


async def test_a_commit_without_manifests_is_refused(git_cache: GitCache, working_copy: WorkingCopy) -> None:
    commit = (await git_cache.fetch("leafscan", GitRemote(working_copy.url))).id
    with pytest.raises(
        InvalidRevision, match=f"there is no manifest .* in nowhere at commit {commit[:12]}; put the manifests there"
    ):
        await git_cache.get_reader("leafscan").read_manifests(commit, "nowhere")


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([TreeEntry("100644", "0", 1, f"m/{n}.yaml") for n in range(501)], "501 manifests; at most 500"),
        ([TreeEntry("100644", "0", 2**20, f"m/{n}.yaml") for n in range(11)], "at most 10485760 are read in all"),
        ([TreeEntry("120000", "0", 1, "m/a.yaml")], "not a regular file"),
        ([TreeEntry("160000", "0", 0, "m/a.yaml")], "not a regular file"),
    ],
)
def test_too_many_or_too_large_manifests_are_refused(entries: list[TreeEntry], reason: str) -> None:
    with pytest.raises(InvalidRevision, match=reason):
        check_manifest_limits(entries, "m", "0" * 40)


async def test_the_archive_is_the_whole_tree_whatever_its_attributes_say(
    git_cache: GitCache, working_copy: WorkingCopy
) -> None:
    commit = working_copy.commit(
        {".gitattributes": "digits export-ignore\n*.txt export-subst\n", "v.txt": "$Format:%H$\n"}
    )
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    content = b"".join([piece async for piece in git_cache.stream_archive("leafscan", commit)])
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        assert {name for name in archive.getnames() if "." in name} == {*MODULE, ".gitattributes", "v.txt"}
        member = archive.extractfile("v.txt")
        assert member is not None
        assert member.read() == b"$Format:%H$\n"


async def test_an_archive_of_an_unknown_commit_fails_with_gits_reason(
    git_cache: GitCache, working_copy: WorkingCopy
) -> None:
    await git_cache.fetch("leafscan", GitRemote(working_copy.url))
    assert not await git_cache.has_commit("leafscan", "0" * 40)
    with pytest.raises(GitFailed, match="not a tree object"):
        [piece async for piece in git_cache.stream_archive("leafscan", "0" * 40)]
