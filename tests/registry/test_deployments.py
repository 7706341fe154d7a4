"""What a push means: every case of what is known when it arrives."""

import pytest

from services.registry.deployments import Answer, Deployment, Scene, Step, Steps, answer, nothing_new
from services.registry.webhooks import Push

OLD, HEAD, NEW = "1" * 40, "2" * 40, "3" * 40


def deployment(status: str, commit: str | None, steps: tuple[Step, ...] = (Step("fetch", "running"),)) -> Deployment:
    return Deployment(1, "d", "leafscan", "push", status, None, commit, None, None, None, (), (), 1.0, None, steps)


LIVE = deployment("live", HEAD)


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
    ],
)
def test_a_head_is_new_unless_it_is_live_or_was_left_on_purpose(head: str, scene: Scene, expected: bool) -> None:
    assert nothing_new(head, scene) is expected


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
