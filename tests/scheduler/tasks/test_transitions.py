"""State transitions of a task after a report and an expired lease, as tables of rows."""

from __future__ import annotations

import pytest

from services.scheduler.model.reason import Reason, reason
from services.scheduler.tasks import transitions
from services.scheduler.tasks.transitions import AttemptResult
from tests.scheduler.tasks.rows import NOW, run, task


def test_success_is_published_first() -> None:
    columns = transitions.stage_after_report(run(), task("a", "claimed"), AttemptResult("succeeded"), NOW)
    assert (columns["state"], columns["finished_at"]) == ("publishing", None)
    assert (columns["phase"], columns["detail"]) == ("publishing", "publishing made to data/weights/")


def test_failure_keeps_the_reason_with_its_exit_code_and_log() -> None:
    why = Reason("error", "boom", {"exit_code": 3})
    columns = transitions.stage_after_report(
        run(), task("a", "claimed"), AttemptResult("failed", why, log_tail=("x", "boom")), NOW
    )
    assert (columns["state"], columns["reason"], columns["log_tail"]) == ("failed", why, ["x", "boom"])


@pytest.mark.parametrize(
    ("code", "failures", "state"), [("error", 0, "waiting"), ("error", 1, "failed"), ("oom", 0, "failed")]
)
def test_retries_are_for_their_reasons_and_limited(code: str, failures: int, state: str) -> None:
    failed_task = task("a", "claimed", failures=failures)
    columns = transitions.stage_after_report(run(retries=1), failed_task, AttemptResult("failed", Reason(code)), NOW)
    assert columns["state"] == state


def test_a_retry_waits_for_its_back_off() -> None:
    columns = transitions.stage_after_report(
        run(retries=5), task("a", "claimed", failures=2), AttemptResult("failed", reason("error")), NOW
    )
    assert columns["not_before"] == NOW + 40.0


def test_a_canceling_run_retries_nothing() -> None:
    columns = transitions.stage_after_report(
        run("canceling", retries=1), task("a", "claimed"), AttemptResult("failed", reason("error")), NOW
    )
    assert columns["state"] == "failed"


def test_a_lost_lease_makes_a_stage_ready_again_until_it_was_lost_too_often() -> None:
    assert transitions.task_after_expiry(task("a", "claimed"), NOW)["state"] == "ready"
    worn = transitions.task_after_expiry(task("a", "claimed", lost_count=transitions.MAX_LOST_WORKERS - 1), NOW)
    assert (worn["state"], worn["reason"].code) == ("failed", "lost")


def test_a_stage_that_its_host_took_with_it_is_ready_again_whatever_its_retries() -> None:
    why = Reason("lost", "the engine was away")
    columns = transitions.stage_after_report(run(), task("a", "claimed"), AttemptResult("lost", why), NOW)
    assert (columns["state"], columns["reason"], columns["lost_count"], columns["worker"]) == ("ready", why, 1, None)
    worn = task("a", "claimed", lost_count=transitions.MAX_LOST_WORKERS - 1)
    assert transitions.stage_after_report(run(), worn, AttemptResult("lost", why), NOW)["state"] == "failed"
    assert (
        transitions.stage_after_report(
            run(), task("a", "claimed", stop_requested=True), AttemptResult("lost", why), NOW
        )["state"]
        == "canceled"
    )


def test_a_task_that_was_being_stopped_is_stopped_when_its_worker_vanishes() -> None:
    assert transitions.task_after_expiry(task("a", "claimed", stop_requested=True), NOW)["state"] == "canceled"
    assert (
        transitions.task_after_expiry(task("a", "claimed", stop_requested=True, kind="instance"), NOW)["state"]
        == "stopped"
    )


def test_an_instance_that_exits_comes_back_after_a_growing_pause() -> None:
    first = transitions.instance_after_report(
        task("a", "claimed", kind="instance"), AttemptResult("failed", reason("exited")), NOW
    )
    later = transitions.instance_after_report(
        task("a", "claimed", kind="instance", failures=3), AttemptResult("failed"), NOW
    )
    assert (first["state"], first["not_before"], later["not_before"]) == ("waiting", NOW + 1.0, NOW + 8.0)


def test_an_instance_without_its_model_waits_without_a_failure() -> None:
    columns = transitions.instance_after_report(
        task("a", "claimed", kind="instance"), AttemptResult("failed", reason("model_missing")), NOW
    )
    assert (columns["state"], "failures" in columns) == ("waiting", False)


def test_an_unwanted_instance_stays_stopped() -> None:
    columns = transitions.instance_after_report(
        task("a", "claimed", kind="instance", stop_requested=True), AttemptResult("failed"), NOW
    )
    assert columns["state"] == "stopped"
