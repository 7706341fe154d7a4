"""What becomes of an image's task after its worker's report."""

from __future__ import annotations

from typing import Any

import pytest

from services.scheduler.model.reason import Reason
from services.scheduler.model.task import Task
from services.scheduler.tasks.image_transitions import image_after_report
from services.scheduler.tasks.transitions import AttemptResult

NOW = 100.0
PULL = Reason("image", "cannot pull the image team/app:1: pull access denied")


def claimed(*, stop_requested: bool = False) -> Task:
    return Task(
        id="m_1", kind="image", app="leaf", name="app:1", state="claimed", created_at=1.0, token=1, worker="w",
        stop_requested=stop_requested, lost_count=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stop_requested", "attempt", "state", "reason"),
    [
        (False, AttemptResult("succeeded", image="team/app@sha256:1"), "succeeded", None),
        (True, AttemptResult("succeeded", image="team/app@sha256:1"), "succeeded", None),
        (False, AttemptResult("succeeded"), "failed", Reason("image", "")),
        (False, AttemptResult("failed", PULL), "failed", PULL),
        (False, AttemptResult("failed"), "failed", Reason("image", "")),
        (True, AttemptResult("failed", PULL), "stopped", None),
        (True, AttemptResult("stopped"), "stopped", None),
        (True, AttemptResult("returned"), "stopped", None),
        (False, AttemptResult("returned"), "ready", Reason("returned", "its worker stopped")),
        (False, AttemptResult("lost", Reason("lost", "the engine went")), "ready", Reason("lost", "the engine went")),
        (False, AttemptResult("of_a_later_release"), "failed", Reason("image", "")),
    ],
)
def test_a_report_decides_the_state(stop_requested: bool, attempt: AttemptResult, state: str, reason: Any) -> None:
    columns = image_after_report(claimed(stop_requested=stop_requested), attempt, NOW)
    assert (columns["state"], columns.get("reason"), columns["worker"]) == (state, reason, None)
    assert columns.get("finished_at") == (None if state == "ready" else NOW)


def test_the_answer_is_kept() -> None:
    columns = image_after_report(claimed(), AttemptResult("succeeded", image="team/app@sha256:1"), NOW)
    assert columns["result"].to_json() == {"outputs": {}, "usage": {}, "answer": None, "image": "team/app@sha256:1"}


def test_a_lost_worker_is_counted() -> None:
    assert image_after_report(claimed(), AttemptResult("lost"), NOW)["lost_count"] == 2
