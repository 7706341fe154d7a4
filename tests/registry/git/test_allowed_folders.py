"""Repositories of this host: only where they may be, with everything that Git would read for them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.registry.git.allowed_folders import AllowedFolders, RepositoryForbidden
from tests.registry.working_copy import Work


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    return tmp_path / "allowed"


@pytest.fixture
def own(allowed: Path) -> Work:
    found = Work(allowed / "own")
    found.commit({"a": "1"})
    return found


@pytest.fixture
def others(tmp_path: Path) -> Work:
    """A repository of somebody else, where none is allowed."""
    found = Work(tmp_path / "others")
    found.commit({"a": "1"})
    return found


@pytest.fixture
def folders(allowed: Path) -> AllowedFolders:
    return AllowedFolders([str(allowed)], [allowed / "data"])


def test_a_working_copy_a_bare_one_a_worktree_and_a_link_to_them_are_read(
    folders: AllowedFolders, own: Work, allowed: Path
) -> None:
    own.git("clone", "--quiet", "--bare", ".", str(allowed / "bare.git"))
    own.git("clone", "--quiet", "--shared", ".", str(allowed / "shared"))
    own.git("worktree", "add", "--quiet", "-b", "side", str(allowed / "tree"))
    (allowed / "link").symlink_to(own.folder)
    expected = {
        "own": "own/.git", "own/": "own/.git", "own/.git": "own/.git", "bare": "bare.git", "bare.git": "bare.git",
        "shared": "shared/.git", "tree": "own/.git/worktrees/tree", "link": "own/.git", "x/../own": "own/.git",
    }  # fmt: skip
    found = {name: folders.find_repository(f"{allowed}/{name}").relative_to(allowed) for name in expected}
    assert found == {name: Path(path) for name, path in expected.items()}


def absolute(allowed: Path, others: Path) -> str:
    return str(others)


def missing(allowed: Path, others: Path) -> str:
    return str(allowed / "nowhere")


def upwards(allowed: Path, others: Path) -> str:
    return f"{allowed}/../others"


def link(allowed: Path, others: Path) -> str:
    (allowed / "it").symlink_to(others)
    return str(allowed / "it")


def git_file(allowed: Path, others: Path) -> str:
    (allowed / "it").mkdir()
    (allowed / "it/.git").write_text(f"gitdir: {others}/.git\n")
    return str(allowed / "it")


def common_folder(allowed: Path, others: Path) -> str:
    (allowed / "it").mkdir()
    (allowed / "it/HEAD").write_text("ref: refs/heads/main\n")
    (allowed / "it/commondir").write_text(f"{others}/.git\n")
    return str(allowed / "it")


def borrow(allowed: Path, line: str) -> str:
    (allowed / "own/.git/objects/info/alternates").write_text(line + "\n")
    return str(allowed / "own")


def borrowed_objects(allowed: Path, others: Path) -> str:
    return borrow(allowed, f"{others}/.git/objects")


def linked_objects(allowed: Path, others: Path) -> str:
    found = next(path for path in (others / ".git/objects").glob("??/*") if path.is_file())
    (allowed / "own/.git/objects/ff").mkdir(exist_ok=True)
    (allowed / "own/.git/objects/ff" / found.name).symlink_to(found)
    return str(allowed / "own")


def linked_branches(allowed: Path, others: Path) -> str:
    os.rename(allowed / "own/.git/refs", allowed / "own/.git/before")
    (allowed / "own/.git/refs").symlink_to(others / ".git/refs")
    return str(allowed / "own")


def escaped_borrowed_objects(allowed: Path, others: Path) -> str:
    path = f"{others}/.git/objects".replace("/", "\\057", 1)
    (allowed / "own/.git/objects" / path).mkdir(parents=True)
    return borrow(allowed, f'"{path}"')


def second_borrowed_objects_behind_a_quote(allowed: Path, others: Path) -> str:
    (allowed / "own/.git/objects/x").mkdir()
    return borrow(allowed, f'"x" {others}/.git/objects')


def borrowed_objects_above_a_link(allowed: Path, others: Path) -> str:
    """Git goes up from the link's name, the system from where the link leads to."""
    (allowed / "deep/inner").mkdir(parents=True)
    (allowed / "deep/x/objects").mkdir(parents=True)
    (allowed / "down").symlink_to("deep/inner")
    (allowed / "x").symlink_to(others / ".git")
    return borrow(allowed, f"{allowed}/down/../x/objects")


def borrowed_objects_by_another_name(allowed: Path, others: Path) -> str:
    (allowed / "pool/things/info").mkdir(parents=True)
    (allowed / "pool/things/info/alternates").write_text(f"{others}/.git/objects\n")
    return borrow(allowed, f"{allowed}/pool/things")


def borrowed_objects_with_a_separator_in_their_name(allowed: Path, others: Path) -> str:
    """That is no end of a line to Git."""
    (allowed / "a").mkdir()
    (allowed / "own/.git/objects/b").mkdir()
    (allowed / "a\x0cb").symlink_to(others / ".git/objects")
    return borrow(allowed, f"{allowed}/a/../a\x0cb")


def common_folder_with_a_space_in_its_name(allowed: Path, others: Path) -> str:
    (allowed / "own/.git ").symlink_to(others / ".git")
    (allowed / "it").mkdir()
    (allowed / "it/HEAD").write_text("ref: refs/heads/main\n")
    (allowed / "it/commondir").write_text("../own/.git \n")
    return str(allowed / "it")


def link_behind_a_link(allowed: Path, others: Path) -> str:
    os.rename(allowed / "own/.git/refs", allowed / "refs")
    (allowed / "own/.git/refs").symlink_to(allowed / "refs")
    os.rename(allowed / "refs/heads", allowed / "refs/before")
    (allowed / "refs/heads").symlink_to(others / ".git/refs/heads")
    return str(allowed / "own")


def data(allowed: Path, others: Path) -> str:
    os.rename(others, allowed / "data")
    return str(allowed / "data")


def endless_link(allowed: Path, others: Path) -> str:
    (allowed / "it").symlink_to(allowed / "it")
    return str(allowed / "it")


def no_repository(allowed: Path, others: Path) -> str:
    (allowed / "it").mkdir()
    return str(allowed / "it")


def large_file(allowed: Path, others: Path) -> str:
    (allowed / "it").write_text(f"gitdir: {allowed}/own/.git" + "\n" * 100_000)
    return str(allowed / "it")


def no_text(allowed: Path, others: Path) -> str:
    (allowed / "it").write_bytes(b"\xff\x00")
    return str(allowed / "it")


def relative(allowed: Path, others: Path) -> str:
    return "own"


def zero_byte(allowed: Path, others: Path) -> str:
    return f"{allowed}/own\0"


WAYS = (
    absolute, missing, upwards, link, git_file, common_folder, borrowed_objects, linked_objects, linked_branches, data,
    endless_link, no_repository, large_file, no_text, relative, zero_byte, escaped_borrowed_objects,
    second_borrowed_objects_behind_a_quote,
    borrowed_objects_above_a_link, borrowed_objects_by_another_name, borrowed_objects_with_a_separator_in_their_name,
    common_folder_with_a_space_in_its_name, link_behind_a_link,
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_out_of_the_folders_that_are_allowed(
    folders: AllowedFolders, own: Work, others: Work, allowed: Path, way: Callable[[Path, Path], str]
) -> None:
    with pytest.raises(RepositoryForbidden):
        folders.find_repository(way(allowed, others.folder))
