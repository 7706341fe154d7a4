"""What of a repository is left out, and the warning that names it."""

import pytest

from libs.common.repository_tree import (
    LINK_MODE,
    MAX_WARNINGS,
    SUBMODULE_MODE,
    TreePath,
    is_misnamed_manifest,
    leaves_tree,
    list_ignored,
)

OUTSIDE = "outside this repository is left out; commit what it leads to, or keep it in a box"
UNREAD = "not read: the name of a manifest ends in .yml or .yaml; rename it"
BELOW = "a link, below which no manifests are read; commit the files themselves"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (TreePath("venv/bin/python", LINK_MODE, "/usr/bin/python3"), f'a link to "/usr/bin/python3" {OUTSIDE}'),
        (TreePath("data", LINK_MODE, "../data"), f'a link to "../data" {OUTSIDE}'),
        (TreePath("manifests/team", LINK_MODE, "/srv/team"), f'a link to "/srv/team" {OUTSIDE}'),
        (TreePath("a/data", LINK_MODE, "../data"), None),
        (TreePath("dangling", LINK_MODE, "nowhere"), None),
        (TreePath("manifests/team", LINK_MODE, "../team"), BELOW),
        (TreePath("manifests/team", LINK_MODE, "../one.yml"), BELOW),
        (TreePath("manifests/README.md", LINK_MODE, "../README.md"), None),
        (TreePath("manifests/a.yml", LINK_MODE, "../a.yml"), None),
        (
            TreePath("lib", SUBMODULE_MODE),
            "a submodule, which is not fetched: its folder is empty; commit the files themselves",
        ),
        (TreePath("manifests/x.YML"), UNREAD),
        (TreePath("manifests/x.Yaml"), UNREAD),
        (TreePath("manifests/x.yml "), UNREAD),
        (TreePath("manifests/sub/.yml"), UNREAD),
        (TreePath("other/x.YML"), None),
        (TreePath("manifests/x.yml"), None),
        (TreePath("manifests/x.yml.in"), None),
        (TreePath("src/a.py"), None),
    ],
    ids=lambda value: value.path if isinstance(value, TreePath) else "",
)  # fmt: skip
def test_each_is_told_by_its_name(item: TreePath, said: str | None) -> None:
    found = list_ignored([item], "manifests")
    assert [(one.file, one.message, one.severity) for one in found] == ([(item.path, said, "warning")] if said else [])


def test_a_repository_whose_root_has_the_manifests() -> None:
    assert [one.file for one in list_ignored([TreePath("x.YML"), TreePath("a/y.YAML")], ".")] == ["a/y.YAML", "x.YML"]


def test_many_are_counted() -> None:
    found = list_ignored([TreePath(f"link{number:03}", LINK_MODE, "/x") for number in range(200)], "manifests")
    assert len(found) == MAX_WARNINGS + 1
    assert found[-1].message == "and 190 more links, submodules or files of this repository are left out"


@pytest.mark.parametrize(
    ("path", "target", "outside"),
    [
        ("a", "/", True), ("a", "..", True), ("a", "../a", True), ("b/a", "../..", True), ("a", "", True),
        ("a", "b/../../c", True), ("a", "x\0y", True), ("a", "x" * 4096, True),
        ("a", ".", False), ("b/a", "..", False), ("a", "..b", False), ("b/a", "../b/../c", False),
    ],
)  # fmt: skip
def test_where_a_link_leads(path: str, target: str, outside: bool) -> None:
    assert leaves_tree(path, target) is outside


@pytest.mark.parametrize("path", ["a.yml", "a.yaml", "yml", "a.yml~", "a.json", "a.ymls"])
def test_names_that_are_no_mistake(path: str) -> None:
    assert not is_misnamed_manifest(path)
