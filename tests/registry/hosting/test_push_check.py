"""Which branch an app follows, and what a push may not do, whatever is in it."""

from __future__ import annotations

import pytest

from libs.common.manifests import Problem
from services.registry.hosting.push_check import (
    choose_branch,
    describe_followed_tags,
    describe_other_refs,
    describe_problems,
    find_name_refusal,
    find_refusal,
)
from services.registry.hosting.push_hook import RefUpdate

ZERO, ONE = "0" * 40, "1" * 40


def created(*refs: str) -> list[RefUpdate]:
    return [RefUpdate(ZERO, ONE, ref) for ref in refs]


@pytest.mark.parametrize(
    ("updates", "branch"),
    [
        (created("refs/heads/trunk"), "trunk"),
        (created("refs/heads/a", "refs/heads/main"), "main"),
        (created("refs/heads/master", "refs/heads/a"), "master"),
        (created("refs/heads/a", "refs/heads/b", "refs/tags/v1"), "a"),
        (created("refs/tags/v1"), None),
        ([RefUpdate(ONE, ZERO, "refs/heads/main")], None),
    ],
)
def test_the_first_push_chooses_the_branch(updates: list[RefUpdate], branch: str | None) -> None:
    assert choose_branch(updates) == branch


@pytest.mark.parametrize(
    ("updates", "refusal"),
    [
        (created("refs/heads/main", "refs/tags/v1"), None),
        ([RefUpdate(ONE, ZERO, "refs/heads/old")], None),
        (
            [RefUpdate(ONE, ZERO, "refs/heads/main")],
            "leaf is deployed from the branch main, so it cannot be deleted",
        ),
        (created("refs/notes/x"), "refs/notes/x is neither a branch nor a tag; push those only"),
        (created("refs/mlmesh/head"), "refs/mlmesh/head is neither a branch nor a tag; push those only"),
    ],
)
def test_what_a_push_may_not_do(updates: list[RefUpdate], refusal: str | None) -> None:
    assert find_refusal("leaf", updates, "main") == refusal


def test_of_many_problems_the_first_twenty_are_told() -> None:
    problems = [Problem("m.yml", number, 1, "wrong") for number in range(1, 31)]
    lines = describe_problems(problems)
    assert (lines[0], lines[-2:]) == ("m.yml:1:1: wrong", ["m.yml:20:1: wrong", "and 10 more"])
    assert describe_problems(problems[:2]) == ["m.yml:1:1: wrong", "m.yml:2:1: wrong"]


def test_a_push_to_another_branch_says_how_to_deploy_it() -> None:
    assert describe_other_refs("leaf", created("refs/heads/master"), "main", "http://m/git/leaf.git") == (
        "stored, not deployed: leaf is deployed from the branch main",
        "to deploy it: git push http://m/git/leaf.git master:main",
    )
    assert describe_other_refs("leaf", created("refs/tags/v1"), "main", "u") == ()
    assert describe_other_refs("leaf", [RefUpdate(ONE, ZERO, "refs/heads/old")], "main", "u") == ()


def test_a_push_of_an_older_tag_says_which_is_newer_and_how_to_go_back() -> None:
    updates = created("refs/heads/main", "refs/tags/v0.9", "refs/tags/v0.8", "refs/tags/beta")
    assert describe_followed_tags("leaf", updates, "v*", "v1.0", "http://m/git/leaf.git") == (
        "stored, not deployed: leaf is deployed from the newest tag that matches v*, and v1.0 is newer than v0.9",
        "to go back to a former deployment: mlmesh deployment list leaf; mlmesh deployment rollback leaf ID",
        "to deploy what v0.9 names as the newest: git tag NEWER-TAG v0.9 && git push http://m/git/leaf.git NEWER-TAG",
    )


def test_a_push_without_a_tag_that_matches_says_how_to_deploy() -> None:
    lines = describe_followed_tags("leaf", created("refs/heads/main", "refs/tags/beta"), "v*", "v1.0", "u")
    assert lines == (
        "stored, not deployed: leaf is deployed from the newest tag that matches v*, now v1.0",
        "to deploy a commit, tag it and push the tag: git push u TAG",
    )


def test_a_name_that_is_not_allowed_is_told_with_those_that_are() -> None:
    odd = created("refs/heads/main", "refs/heads/a\nb\udcff")
    assert find_name_refusal(odd) == (
        '"refs/heads/a\\nb\\udcff" is not allowed as a name; '
        "use letters, digits, -, _, . and /, as in feature/leaf-scan"
    )
    assert find_name_refusal([RefUpdate(ONE, ZERO, "refs/heads/\udcff")]) is None
