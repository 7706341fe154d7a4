"""The decision about a push, for every state of the app."""

import pytest

from services.registry.deployments.push_decision import (
    PushContext,
    PushDecision,
    decide_push,
    find_existing_deployment,
    needs_no_deployment,
)
from tests.registry.deployments.examples import HEAD, LIVE, NEW, OLD, ROLLBACK, deployment


@pytest.mark.parametrize(
    ("commit", "scene", "expected"),
    [
        pytest.param(NEW, PushContext(None, None, None), PushDecision.DEPLOY, id="the first push"),
        pytest.param(None, PushContext(None, None, None), PushDecision.DEPLOY, id="the first push, without a commit"),
        pytest.param(NEW, PushContext(None, LIVE, LIVE), PushDecision.DEPLOY, id="a new commit"),
        pytest.param(HEAD, PushContext(None, LIVE, LIVE, True), PushDecision.NOTHING_NEW, id="the live commit"),
        pytest.param(None, PushContext(None, LIVE, LIVE), PushDecision.ASK_GIT, id="no commit is named"),
        pytest.param(OLD, PushContext(None, LIVE, LIVE, True), PushDecision.ASK_GIT, id="an older push arrives late"),
        pytest.param(
            NEW, PushContext(None, deployment("pending", None, ()), LIVE), PushDecision.JOIN, id="one is queued"
        ),
        pytest.param(
            NEW, PushContext(None, deployment("pending", None), LIVE), PushDecision.DEPLOY, id="one asks Git already"
        ),
        pytest.param(
            NEW, PushContext(None, deployment("pending", NEW), LIVE, True), PushDecision.JOIN, id="polled before"
        ),
        pytest.param(
            NEW, PushContext(None, deployment("starting", NEW), LIVE, True), PushDecision.JOIN, id="it starts already"
        ),
        pytest.param(
            NEW, PushContext(None, deployment("starting", HEAD), LIVE), PushDecision.DEPLOY, id="another one starts"
        ),
        pytest.param(
            NEW, PushContext(NEW, LIVE, LIVE, True), PushDecision.NOTHING_NEW, id="the head that was rolled back"
        ),
        pytest.param(
            NEW, PushContext(HEAD, ROLLBACK, LIVE), PushDecision.DEPLOY, id="behind a rollback that has not begun"
        ),
        pytest.param(
            HEAD, PushContext(HEAD, ROLLBACK, LIVE, True), PushDecision.NOTHING_NEW, id="what a queued rollback leaves"
        ),
        pytest.param(
            None, PushContext(HEAD, ROLLBACK, LIVE), PushDecision.ASK_GIT, id="no commit is named behind a rollback"
        ),
        pytest.param(
            OLD,
            PushContext(HEAD, ROLLBACK, LIVE, True),
            PushDecision.ASK_GIT,
            id="the branch is where the rollback goes",
        ),
        pytest.param(
            HEAD, PushContext(None, deployment("starting", NEW), LIVE, True), PushDecision.ASK_GIT, id="forced back"
        ),
        pytest.param(
            NEW, PushContext(None, deployment("failed", NEW), LIVE, True), PushDecision.ASK_GIT, id="it failed before"
        ),
        pytest.param(
            NEW,
            PushContext(None, deployment("failed", NEW), None, True),
            PushDecision.DEPLOY,
            id="failed, nothing live",
        ),
    ],
)
def test_a_push_is_judged_by_what_is_known(commit: str | None, scene: PushContext, expected: PushDecision) -> None:
    assert decide_push(commit, scene) is expected


@pytest.mark.parametrize(
    ("head", "scene", "expected"),
    [
        (HEAD, PushContext(None, LIVE, LIVE), True),
        (NEW, PushContext(None, LIVE, LIVE), False),
        (NEW, PushContext(NEW, LIVE, LIVE), True),
        (NEW, PushContext(None, deployment("failed", NEW), LIVE), False),
        (NEW, PushContext(NEW, None, None), False),
        (HEAD, PushContext(HEAD, ROLLBACK, LIVE), True),
        (OLD, PushContext(HEAD, ROLLBACK, LIVE), True),
        (NEW, PushContext(HEAD, ROLLBACK, LIVE), False),
        (HEAD, PushContext(None, deployment("starting", NEW), LIVE), False),
        (HEAD, PushContext(HEAD, deployment("pending", None), LIVE), False),
    ],
)
def test_a_head_is_new_unless_it_is_live_or_was_left_on_purpose(head: str, scene: PushContext, expected: bool) -> None:
    assert needs_no_deployment(head, scene) is expected


def test_what_settles_a_head_is_what_brings_it_or_what_is_live() -> None:
    starting = deployment("starting", NEW)
    assert find_existing_deployment(NEW, PushContext(None, starting, LIVE)) is starting
    assert find_existing_deployment(HEAD, PushContext(HEAD, ROLLBACK, LIVE)) is LIVE
    assert find_existing_deployment(OLD, PushContext(HEAD, ROLLBACK, LIVE)) is ROLLBACK
    assert find_existing_deployment(HEAD, PushContext(None, starting, LIVE)) is None
