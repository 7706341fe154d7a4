"""What a push means: every case of what is known when it arrives."""

import pytest

from services.registry.deployments.push_decision import Answer, Scene, answer, nothing_new, settled
from tests.registry.deployments.examples import HEAD, LIVE, NEW, OLD, ROLLBACK, deployment


@pytest.mark.parametrize(
    ("commit", "scene", "expected"),
    [
        pytest.param(NEW, Scene(None, None, None), Answer.DEPLOY, id="the first push"),
        pytest.param(None, Scene(None, None, None), Answer.DEPLOY, id="the first push, without a commit"),
        pytest.param(NEW, Scene(None, LIVE, LIVE), Answer.DEPLOY, id="a new commit"),
        pytest.param(HEAD, Scene(None, LIVE, LIVE, True), Answer.NOTHING_NEW, id="the live commit"),
        pytest.param(None, Scene(None, LIVE, LIVE), Answer.ASK_GIT, id="no commit is named"),
        pytest.param(OLD, Scene(None, LIVE, LIVE, True), Answer.ASK_GIT, id="an older push arrives late"),
        pytest.param(NEW, Scene(None, deployment("pending", None, ()), LIVE), Answer.JOIN, id="one is queued"),
        pytest.param(NEW, Scene(None, deployment("pending", None), LIVE), Answer.DEPLOY, id="one asks Git already"),
        pytest.param(NEW, Scene(None, deployment("pending", NEW), LIVE, True), Answer.JOIN, id="polled before"),
        pytest.param(NEW, Scene(None, deployment("starting", NEW), LIVE, True), Answer.JOIN, id="it starts already"),
        pytest.param(NEW, Scene(None, deployment("starting", HEAD), LIVE), Answer.DEPLOY, id="another one starts"),
        pytest.param(NEW, Scene(NEW, LIVE, LIVE, True), Answer.NOTHING_NEW, id="the head that was rolled back"),
        pytest.param(NEW, Scene(HEAD, ROLLBACK, LIVE), Answer.DEPLOY, id="behind a rollback that has not begun"),
        pytest.param(HEAD, Scene(HEAD, ROLLBACK, LIVE, True), Answer.NOTHING_NEW, id="what a queued rollback leaves"),
        pytest.param(None, Scene(HEAD, ROLLBACK, LIVE), Answer.ASK_GIT, id="no commit is named behind a rollback"),
        pytest.param(
            OLD, Scene(HEAD, ROLLBACK, LIVE, True), Answer.ASK_GIT, id="the branch is where the rollback goes"
        ),
        pytest.param(HEAD, Scene(None, deployment("starting", NEW), LIVE, True), Answer.ASK_GIT, id="forced back"),
        pytest.param(NEW, Scene(None, deployment("failed", NEW), LIVE, True), Answer.ASK_GIT, id="it failed before"),
        pytest.param(NEW, Scene(None, deployment("failed", NEW), None, True), Answer.DEPLOY, id="failed, nothing live"),
    ],
)
def test_a_push_is_judged_by_what_is_known(commit: str | None, scene: Scene, expected: Answer) -> None:
    assert answer(commit, scene) is expected


@pytest.mark.parametrize(
    ("head", "scene", "expected"),
    [
        (HEAD, Scene(None, LIVE, LIVE), True),
        (NEW, Scene(None, LIVE, LIVE), False),
        (NEW, Scene(NEW, LIVE, LIVE), True),
        (NEW, Scene(None, deployment("failed", NEW), LIVE), False),
        (NEW, Scene(NEW, None, None), False),
        (HEAD, Scene(HEAD, ROLLBACK, LIVE), True),
        (OLD, Scene(HEAD, ROLLBACK, LIVE), True),
        (NEW, Scene(HEAD, ROLLBACK, LIVE), False),
        (HEAD, Scene(None, deployment("starting", NEW), LIVE), False),
        (HEAD, Scene(HEAD, deployment("pending", None), LIVE), False),
    ],
)
def test_a_head_is_new_unless_it_is_live_or_was_left_on_purpose(head: str, scene: Scene, expected: bool) -> None:
    assert nothing_new(head, scene) is expected


def test_what_settles_a_head_is_what_brings_it_or_what_is_live() -> None:
    starting = deployment("starting", NEW)
    assert settled(NEW, Scene(None, starting, LIVE)) is starting
    assert settled(HEAD, Scene(HEAD, ROLLBACK, LIVE)) is LIVE
    assert settled(OLD, Scene(HEAD, ROLLBACK, LIVE)) is ROLLBACK
    assert settled(HEAD, Scene(None, starting, LIVE)) is None
