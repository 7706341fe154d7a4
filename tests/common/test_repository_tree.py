"""What of a repository is left out, and the warning that names it."""

import pytest

from libs.common.repository_tree import LINK, MAX_TOLD, SUBMODULE, Item, leads_outside, left_out, nearly_manifest

OUTSIDE = "outside this repository is left out; commit what it leads to, or keep it in a box"
UNREAD = "not read: the name of a manifest ends in .yml or .yaml; rename it"
BELOW = "a link, below which no manifests are read; commit the files themselves"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (Item("venv/bin/python", LINK, "/usr/bin/python3"), f'a link to "/usr/bin/python3" {OUTSIDE}'),
        (Item("data", LINK, "../data"), f'a link to "../data" {OUTSIDE}'),
        (Item("manifests/team", LINK, "/srv/team"), f'a link to "/srv/team" {OUTSIDE}'),
        (Item("a/data", LINK, "../data"), None),
        (Item("dangling", LINK, "nowhere"), None),
        (Item("manifests/team", LINK, "../team"), BELOW),
        (Item("manifests/team", LINK, "../one.yml"), BELOW),
        (Item("manifests/README.md", LINK, "../README.md"), None),
        (Item("manifests/a.yml", LINK, "../a.yml"), None),
        (Item("lib", SUBMODULE), "a submodule, which is not fetched: its folder is empty; commit the files themselves"),
        (Item("manifests/x.YML"), UNREAD),
        (Item("manifests/x.Yaml"), UNREAD),
        (Item("manifests/x.yml "), UNREAD),
        (Item("manifests/sub/.yml"), UNREAD),
        (Item("other/x.YML"), None),
        (Item("manifests/x.yml"), None),
        (Item("manifests/x.yml.in"), None),
        (Item("src/a.py"), None),
    ],
    ids=lambda value: value.path if isinstance(value, Item) else "",
)  # fmt: skip
def test_each_is_told_by_its_name(item: Item, said: str | None) -> None:
    found = left_out([item], "manifests")
    assert [(one.file, one.message, one.severity) for one in found] == ([(item.path, said, "warning")] if said else [])


def test_a_repository_whose_root_has_the_manifests() -> None:
    assert [one.file for one in left_out([Item("x.YML"), Item("a/y.YAML")], ".")] == ["a/y.YAML", "x.YML"]


def test_many_are_counted() -> None:
    found = left_out([Item(f"link{number:03}", LINK, "/x") for number in range(200)], "manifests")
    assert len(found) == MAX_TOLD + 1
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
    assert leads_outside(path, target) is outside


@pytest.mark.parametrize("path", ["a.yml", "a.yaml", "yml", "a.yml~", "a.json", "a.ymls"])
def test_names_that_are_no_mistake(path: str) -> None:
    assert not nearly_manifest(path)
