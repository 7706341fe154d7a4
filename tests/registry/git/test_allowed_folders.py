"""Local repositories: every file that Git would read must be in an allowed folder."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.registry.git.allowed_folders import AllowedFolders, RepositoryForbidden
from tests.registry.working_copy import WorkingCopy


@pytest.fixture
def allowed_folder(tmp_path: Path) -> Path:
    return tmp_path / "allowed"


@pytest.fixture
def local(allowed_folder: Path) -> WorkingCopy:
    copy = WorkingCopy(allowed_folder / "own")
    copy.commit({"a": "1"})
    return copy


@pytest.fixture
def foreign(tmp_path: Path) -> WorkingCopy:
    """A repository outside of the allowed folder."""
    copy = WorkingCopy(tmp_path / "others")
    copy.commit({"a": "1"})
    return copy


@pytest.fixture
def allowed_folders(allowed_folder: Path) -> AllowedFolders:
    return AllowedFolders([str(allowed_folder)], [allowed_folder / "data"])


def test_a_working_copy_a_bare_one_a_worktree_and_a_link_to_them_are_read(
    allowed_folders: AllowedFolders, local: WorkingCopy, allowed_folder: Path
) -> None:
    local.git("clone", "--quiet", "--bare", ".", str(allowed_folder / "bare.git"))
    local.git("clone", "--quiet", "--shared", ".", str(allowed_folder / "shared"))
    local.git("worktree", "add", "--quiet", "-b", "side", str(allowed_folder / "tree"))
    (allowed_folder / "link").symlink_to(local.folder)
    expected = {
        "own": "own/.git", "own/": "own/.git", "own/.git": "own/.git", "bare": "bare.git", "bare.git": "bare.git",
        "shared": "shared/.git", "tree": "own/.git/worktrees/tree", "link": "own/.git", "x/../own": "own/.git",
    }  # fmt: skip
    repositories = {
        name: allowed_folders.find_repository(f"{allowed_folder}/{name}").relative_to(allowed_folder)
        for name in expected
    }
    assert repositories == {name: Path(path) for name, path in expected.items()}


def absolute(allowed_folder: Path, foreign: Path) -> str:
    return str(foreign)


def missing(allowed_folder: Path, foreign: Path) -> str:
    return str(allowed_folder / "nowhere")


def upwards(allowed_folder: Path, foreign: Path) -> str:
    return f"{allowed_folder}/../others"


def link(allowed_folder: Path, foreign: Path) -> str:
    (allowed_folder / "it").symlink_to(foreign)
    return str(allowed_folder / "it")


def git_file(allowed_folder: Path, foreign: Path) -> str:
    (allowed_folder / "it").mkdir()
    (allowed_folder / "it/.git").write_text(f"gitdir: {foreign}/.git\n")
    return str(allowed_folder / "it")


def common_folder(allowed_folder: Path, foreign: Path) -> str:
    (allowed_folder / "it").mkdir()
    (allowed_folder / "it/HEAD").write_text("ref: refs/heads/main\n")
    (allowed_folder / "it/commondir").write_text(f"{foreign}/.git\n")
    return str(allowed_folder / "it")


def borrow(allowed_folder: Path, line: str) -> str:
    (allowed_folder / "own/.git/objects/info/alternates").write_text(line + "\n")
    return str(allowed_folder / "own")


def borrowed_objects(allowed_folder: Path, foreign: Path) -> str:
    return borrow(allowed_folder, f"{foreign}/.git/objects")


def linked_objects(allowed_folder: Path, foreign: Path) -> str:
    source = next(path for path in (foreign / ".git/objects").glob("??/*") if path.is_file())
    (allowed_folder / "own/.git/objects/ff").mkdir(exist_ok=True)
    (allowed_folder / "own/.git/objects/ff" / source.name).symlink_to(source)
    return str(allowed_folder / "own")


def linked_branches(allowed_folder: Path, foreign: Path) -> str:
    os.rename(allowed_folder / "own/.git/refs", allowed_folder / "own/.git/before")
    (allowed_folder / "own/.git/refs").symlink_to(foreign / ".git/refs")
    return str(allowed_folder / "own")


def escaped_borrowed_objects(allowed_folder: Path, foreign: Path) -> str:
    path = f"{foreign}/.git/objects".replace("/", "\\057", 1)
    (allowed_folder / "own/.git/objects" / path).mkdir(parents=True)
    return borrow(allowed_folder, f'"{path}"')


def second_borrowed_objects_behind_a_quote(allowed_folder: Path, foreign: Path) -> str:
    (allowed_folder / "own/.git/objects/x").mkdir()
    return borrow(allowed_folder, f'"x" {foreign}/.git/objects')


def borrowed_objects_above_a_link(allowed_folder: Path, foreign: Path) -> str:
    """Git resolves `..` before the link, the operating system after it."""
    (allowed_folder / "deep/inner").mkdir(parents=True)
    (allowed_folder / "deep/x/objects").mkdir(parents=True)
    (allowed_folder / "down").symlink_to("deep/inner")
    (allowed_folder / "x").symlink_to(foreign / ".git")
    return borrow(allowed_folder, f"{allowed_folder}/down/../x/objects")


def borrowed_objects_by_another_name(allowed_folder: Path, foreign: Path) -> str:
    (allowed_folder / "pool/things/info").mkdir(parents=True)
    (allowed_folder / "pool/things/info/alternates").write_text(f"{foreign}/.git/objects\n")
    return borrow(allowed_folder, f"{allowed_folder}/pool/things")


def borrowed_objects_with_a_separator_in_their_name(allowed_folder: Path, foreign: Path) -> str:
    """A form feed does not end a line for Git."""
    (allowed_folder / "a").mkdir()
    (allowed_folder / "own/.git/objects/b").mkdir()
    (allowed_folder / "a\x0cb").symlink_to(foreign / ".git/objects")
    return borrow(allowed_folder, f"{allowed_folder}/a/../a\x0cb")


def common_folder_with_a_space_in_its_name(allowed_folder: Path, foreign: Path) -> str:
    (allowed_folder / "own/.git ").symlink_to(foreign / ".git")
    (allowed_folder / "it").mkdir()
    (allowed_folder / "it/HEAD").write_text("ref: refs/heads/main\n")
    (allowed_folder / "it/commondir").write_text("../own/.git \n")
    return str(allowed_folder / "it")


def link_behind_a_link(allowed_folder: Path, foreign: Path) -> str:
    os.rename(allowed_folder / "own/.git/refs", allowed_folder / "refs")
    (allowed_folder / "own/.git/refs").symlink_to(allowed_folder / "refs")
    os.rename(allowed_folder / "refs/heads", allowed_folder / "refs/before")
    (allowed_folder / "refs/heads").symlink_to(foreign / ".git/refs/heads")
    return str(allowed_folder / "own")


def data(allowed_folder: Path, foreign: Path) -> str:
    os.rename(foreign, allowed_folder / "data")
    return str(allowed_folder / "data")


def endless_link(allowed_folder: Path, foreign: Path) -> str:
    (allowed_folder / "it").symlink_to(allowed_folder / "it")
    return str(allowed_folder / "it")


def no_repository(allowed_folder: Path, foreign: Path) -> str:
    (allowed_folder / "it").mkdir()
    return str(allowed_folder / "it")


def large_file(allowed_folder: Path, foreign: Path) -> str:
    (allowed_folder / "it").write_text(f"gitdir: {allowed_folder}/own/.git" + "\n" * 100_000)
    return str(allowed_folder / "it")


def no_text(allowed_folder: Path, foreign: Path) -> str:
    (allowed_folder / "it").write_bytes(b"\xff\x00")
    return str(allowed_folder / "it")


def relative(allowed_folder: Path, foreign: Path) -> str:
    return "own"


def zero_byte(allowed_folder: Path, foreign: Path) -> str:
    return f"{allowed_folder}/own\0"


WAYS = (
    absolute, missing, upwards, link, git_file, common_folder, borrowed_objects, linked_objects, linked_branches, data,
    endless_link, no_repository, large_file, no_text, relative, zero_byte, escaped_borrowed_objects,
    second_borrowed_objects_behind_a_quote,
    borrowed_objects_above_a_link, borrowed_objects_by_another_name, borrowed_objects_with_a_separator_in_their_name,
    common_folder_with_a_space_in_its_name, link_behind_a_link,
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_out_of_the_folders_that_are_allowed(
    allowed_folders: AllowedFolders,
    local: WorkingCopy,
    foreign: WorkingCopy,
    allowed_folder: Path,
    way: Callable[[Path, Path], str],
) -> None:
    with pytest.raises(RepositoryForbidden):
        allowed_folders.find_repository(way(allowed_folder, foreign.folder))
