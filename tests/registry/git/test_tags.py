"""Which tag is the newest, and what a listing of tags says."""

from __future__ import annotations

import pytest

from services.registry.git.tags import find_newest_tag, parse_tags

OLD, NEW, TAG = "1" * 40, "2" * 40, "3" * 40


@pytest.mark.parametrize(
    ("pattern", "tags", "newest"),
    [
        ("v*", ["v1.9", "v1.10", "v1.2"], "v1.10"),
        ("v*", ["v1.0", "v1.1rc1", "v1.1.dev3"], "v1.1rc1"),
        ("v*", ["v1.1", "v1.1rc1"], "v1.1"),
        ("v*", ["v1.0", "v1.0.post1", "v1.0+local"], "v1.0.post1"),
        ("v*", ["v1!1.0", "v3.0"], "v1!1.0"),
        ("*", ["v1.0", "2.0", "3.0-final"], "2.0"),
        ("*", ["v1.0", "1.0"], "v1.0"),
        ("v1.*", ["v1.9", "v2.0"], "v1.9"),
        ("release-*", ["release-1.9", "release-1.10", "release-x"], "release-1.10"),
        ("release/*", ["release/2024.1", "release/2023.12", "v9"], "release/2024.1"),
        ("v?", ["v1", "v2", "v10"], "v2"),
        ("nightly-*", ["nightly-b", "nightly-a"], "nightly-b"),
        ("v*", ["vnext", "v1"], "v1"),
        ("v*", ["V1", "1.0"], None),
        ("v*", [], None),
    ],
)
def test_the_newest_tag(pattern: str, tags: list[str], newest: str | None) -> None:
    assert find_newest_tag(pattern, tags) == newest
    assert find_newest_tag(pattern, reversed(tags)) == newest


def test_an_annotated_tag_counts_as_the_commit_that_it_names() -> None:
    listing = f"{TAG}\trefs/tags/v2\n{NEW}\trefs/tags/v2^{{}}\n{OLD}\trefs/tags/v1\n{OLD}\trefs/heads/refs/tags/v3\n"
    assert parse_tags(listing) == {"v2": NEW, "v1": OLD}


def test_many_stars_take_no_time() -> None:
    tags = [f"{'a' * 180}{number}" for number in range(500)]
    assert find_newest_tag(f"{'*a' * 16}*b", tags) is None
