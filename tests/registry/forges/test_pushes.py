"""Pushes of each form as changes: tables of cases."""

from typing import Any

import pytest

from libs.common.errors import Malformed
from services.registry.forges.pushes import (
    MAX_CHANGES,
    Change,
    find_change,
    parse_any_push,
    parse_azure_push,
    parse_bitbucket_push,
    parse_data_center_push,
    parse_github_push,
    parse_gitlab_push,
    parse_pagure_push,
)
from tests.registry.forges.push_documents import COMMIT, MAIN, SIDE, TAG, ZEROS
from tests.registry.forges.sent_deliveries import SAMPLES, SampleForge

PARSERS = {
    "GitHub": parse_github_push,
    "Gitea": parse_github_push,
    "GitLab": parse_gitlab_push,
    "Bitbucket Cloud": parse_bitbucket_push,
    "Bitbucket Data Center": parse_data_center_push,
    "Azure DevOps": parse_azure_push,
    "Pagure": parse_pagure_push,
}


@pytest.mark.parametrize("title", [title for title in PARSERS if title != "Pagure"])
def test_each_form_says_which_refs_changed_how(title: str) -> None:
    sample, parse = SAMPLES[title], PARSERS[title]
    for parser in (parse, parse_any_push):
        for ref in (MAIN, SIDE, TAG):
            assert parser("push", sample.write(ref, COMMIT, False))[-1] == Change(ref, COMMIT)
        assert parser("push", sample.write(MAIN, ZEROS, True))[-1] == Change(MAIN, None, deleted=True)


@pytest.mark.parametrize(
    ("document", "change"),
    [
        ({"ref": MAIN, "after": COMMIT}, Change(MAIN, COMMIT)),
        ({"ref": "refs/heads/team/x", "after": COMMIT}, Change("refs/heads/team/x", COMMIT)),
        ({"ref": MAIN, "after": "b" * 64}, Change(MAIN, "b" * 64)),
        ({"ref": MAIN, "after": "nonsense"}, Change(MAIN)),
        ({"ref": MAIN, "after": COMMIT.upper()}, Change(MAIN)),
        ({"ref": MAIN, "after": 5}, Change(MAIN)),
        ({"ref": MAIN}, Change(MAIN)),
        ({"ref": MAIN, "after": ZEROS}, Change(MAIN, deleted=True)),
        ({"ref": MAIN, "after": "0" * 64}, Change(MAIN, deleted=True)),
        ({"ref": MAIN, "before": COMMIT, "after": ZEROS}, Change(MAIN, deleted=True)),
        ({"ref": MAIN, "before": ZEROS, "after": ZEROS}, Change(MAIN)),
        ({"ref": MAIN, "after": COMMIT, "deleted": True}, Change(MAIN, deleted=True)),
        ({"ref": "main", "after": COMMIT}, Change("main", COMMIT)),
        ({}, Change(None)),
    ],
)
def test_a_push_in_githubs_form(document: dict[str, Any], change: Change) -> None:
    assert parse_github_push("push", document) == (change,)


@pytest.mark.parametrize(
    ("document", "ref"),
    [
        ({"ref": "old", "ref_type": "branch"}, "refs/heads/old"),
        ({"ref": "refs/heads/old", "ref_type": "branch"}, "refs/heads/old"),
        ({"ref": "v1", "ref_type": "tag"}, "refs/tags/v1"),
        ({"ref": "v1"}, "refs/tags/v1"),
    ],
)
def test_giteas_event_delete_has_the_short_name(document: dict[str, Any], ref: str) -> None:
    assert parse_github_push("delete", document) == (Change(ref, deleted=True),)


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({"object_kind": "push"}, (Change(MAIN, COMMIT),)),
        ({"event_name": "push"}, (Change(MAIN, COMMIT),)),
        ({}, (Change(MAIN, COMMIT),)),
        ({"object_kind": "push", "checkout_sha": None}, (Change(MAIN, deleted=True),)),
        ({"object_kind": "issue"}, ()),
        ({"event_name": "repository_update"}, ()),
    ],
)
def test_a_system_hook_of_gitlab_has_other_events_too(fields: dict[str, Any], changes: tuple[Change, ...]) -> None:
    assert parse_gitlab_push("system hook", {"ref": MAIN, "after": COMMIT, **fields}) == changes


@pytest.mark.parametrize(
    ("event", "message", "change"),
    [
        ("git.receive", {"branch": "main", "end_commit": COMMIT}, Change(MAIN, COMMIT)),
        ("git.receive", {"branch": "refs/tags/v2", "end_commit": COMMIT}, Change(TAG, COMMIT)),
        ("git.branch.creation", {"branch": "side", "rev": COMMIT}, Change(SIDE, COMMIT)),
        ("git.branch.deletion", {"branch": "main", "rev": COMMIT}, Change(MAIN, deleted=True)),
    ],
)
def test_pagure_has_the_short_name(event: str, message: dict[str, Any], change: Change) -> None:
    assert parse_pagure_push(event, {"msg": message, "topic": event}) == (change,)


def test_a_tag_of_the_branchs_name_is_not_the_branch() -> None:
    changes = parse_bitbucket_push("repo:push", SAMPLES["Bitbucket Cloud"].write(SIDE, COMMIT, False))
    assert [change.ref for change in changes] == ["refs/tags/main", SIDE]
    assert find_change(changes, MAIN.__eq__) is None


def test_azure_without_details_may_be_any_branch() -> None:
    for document in ({"eventType": "git.push"}, {"eventType": "git.push", "resource": None}):
        assert parse_azure_push("", document) == (Change(None),)
    assert parse_azure_push("", {"eventType": "build.complete", "resource": {}}) == ()


def test_the_branch_is_looked_for_among_all_changes() -> None:
    changes = (Change(TAG, COMMIT), Change(MAIN, COMMIT), Change(SIDE, COMMIT))
    assert find_change(changes, MAIN.__eq__) == Change(MAIN, COMMIT)
    assert find_change(changes, "refs/heads/heads/main".__eq__) is None
    assert find_change((Change(MAIN, deleted=True), Change(MAIN, COMMIT)), MAIN.__eq__) == Change(MAIN, COMMIT)
    assert find_change((Change(None),), MAIN.__eq__) == Change(None)
    assert find_change((), MAIN.__eq__) is None


@pytest.mark.parametrize(
    ("title", "make_document"),
    [
        ("Bitbucket Cloud", lambda changes: {"push": {"changes": changes}}),
        ("Bitbucket Data Center", lambda changes: {"changes": changes}),
        ("Azure DevOps", lambda changes: {"eventType": "git.push", "resource": {"refUpdates": changes}}),
    ],
)
def test_of_ten_thousand_changes_the_first_thousand_are_read(title: str, make_document: Any) -> None:
    one = {"new": None, "ref": {"id": MAIN}, "name": MAIN}
    assert len(PARSERS[title]("push", make_document([one] * 10_000))) == MAX_CHANGES
    assert len(PARSERS[title]("push", make_document([*[one] * MAX_CHANGES, 5]))) == MAX_CHANGES


@pytest.mark.parametrize(
    ("title", "document"),
    [
        ("GitHub", {"ref": 1}),
        ("GitHub", {"ref": [MAIN]}),
        ("GitLab", {"object_kind": "push", "ref": {}}),
        ("Bitbucket Cloud", {}),
        ("Bitbucket Cloud", {"push": []}),
        ("Bitbucket Cloud", {"push": {"changes": {}}}),
        ("Bitbucket Cloud", {"push": {"changes": [None]}}),
        ("Bitbucket Cloud", {"push": {"changes": [{"new": 5}]}}),
        ("Bitbucket Cloud", {"push": {"changes": [{"new": {"name": 5}}]}}),
        ("Bitbucket Cloud", {"push": {"changes": [{"new": {"name": "main", "target": 5}}]}}),
        ("Bitbucket Data Center", {}),
        ("Bitbucket Data Center", {"changes": "all"}),
        ("Bitbucket Data Center", {"changes": [{"ref": "main"}]}),
        ("Bitbucket Data Center", {"changes": [{"ref": {"id": 5}}]}),
        ("Pagure", {"msg": []}),
        ("Pagure", {"msg": {"branch": 5}}),
        ("Azure DevOps", {"eventType": "git.push", "resource": []}),
        ("Azure DevOps", {"eventType": "git.push", "resource": {"refUpdates": {}}}),
        ("Azure DevOps", {"eventType": "git.push", "resource": {"refUpdates": [{"name": 1}]}}),
    ],
)
def test_a_document_of_another_form_is_malformed(title: str, document: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        PARSERS[title]("push", document)


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES.values() if sample.name != "pagure"])
def test_every_sample_is_read_by_its_shape_alone(sample: SampleForge) -> None:
    assert find_change(parse_any_push("", sample.write(MAIN, COMMIT, False)), MAIN.__eq__) == Change(MAIN, COMMIT)
