"""What a push means: every case of what is known when it arrives."""

from dataclasses import replace

import pytest

from services.registry.deployments.state import (
    Answer,
    Deployment,
    Scene,
    Step,
    Steps,
    answer,
    due,
    nothing_new,
    retry_at,
    settled,
)
from services.registry.git.webhooks import Push

OLD, HEAD, NEW = "1" * 40, "2" * 40, "3" * 40


def deployment(status: str, commit: str | None, steps: tuple[Step, ...] = (Step("fetch", "running"),)) -> Deployment:
    return Deployment(1, "d", "leafscan", "push", status, None, commit, None, None, None, (), (), 1.0, None, steps)


LIVE = deployment("live", HEAD)
ROLLBACK = replace(deployment("pending", None, ()), pinned=OLD)
"""Asked for, not begun: HEAD is what it leaves."""


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
    assert answer(Push("push", "main", commit), scene) is expected


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


def test_of_those_that_ask_git_the_newest_is_due_and_all_others_are() -> None:
    asking, waits = deployment("pending", None, ()), replace(deployment("pending", HEAD), revision="r")
    assert due([ROLLBACK, asking]) == [ROLLBACK, asking]
    assert due([asking, replace(asking, seq=2), replace(asking, seq=3)]) == [replace(asking, seq=3)]
    assert due([waits, replace(asking, seq=2), replace(asking, seq=3)]) == [waits, replace(asking, seq=3)]
    assert due([]) == []


def test_steps_go_on_one_after_another() -> None:
    steps = Steps().begun("fetch", 1.0).ended(2.0, detail="commit 1").begun("secrets", 3.0)
    assert steps.all == (Step("fetch", "succeeded", "commit 1", 1.0, 2.0), Step("secrets", "running", None, 3.0))
    assert steps.reason is None
    assert steps.waiting("no value").reason == "no value"
    assert [step.name for step in steps.until("secrets").all] == ["fetch"]
    assert steps.until("other") == steps


def test_a_deployment_is_shown_with_iso_times_and_all_its_fields() -> None:
    shown = deployment("live", HEAD, (Step("fetch", "succeeded", None, 0.0, 1.5),)).shown()
    assert shown == {
        "id": "d", "app": "leafscan", "commit": HEAD, "author": None, "message": None, "trigger": "push",
        "status": "live",
        "steps": [{"name": "fetch", "status": "succeeded", "detail": None, "started_at": "1970-01-01T00:00:00.000Z",
                   "finished_at": "1970-01-01T00:00:01.500Z"}],
        "errors": [], "warnings": [], "created_at": "1970-01-01T00:00:01.000Z", "live_at": None,
    }  # fmt: skip


UNFETCHED = replace(deployment("failed", None, (Step("fetch", "failed", "it broke", 90.0, 100.0),)), created_at=90.0)


@pytest.mark.parametrize(
    ("newest_first", "expected"),
    [
        ([], None),
        ([LIVE], None),
        ([UNFETCHED], 130.0),
        ([replace(UNFETCHED, steps=())], 120.0),
        ([UNFETCHED, LIVE], 130.0),
        ([UNFETCHED, UNFETCHED, LIVE, UNFETCHED], 160.0),
        ([UNFETCHED, deployment("superseded", None), UNFETCHED], 160.0),
        ([UNFETCHED] * 10, 3700.0),
        ([deployment("pending", None), UNFETCHED], None),
        ([deployment("failed", NEW), UNFETCHED], None),
        ([deployment("superseded", HEAD), UNFETCHED, LIVE], None),
        ([replace(UNFETCHED, pinned=OLD), UNFETCHED], None),
    ],
)
def test_a_fetch_that_failed_is_due_again_later_each_time(
    newest_first: list[Deployment], expected: float | None
) -> None:
    assert retry_at(newest_first) == expected
