"""State transitions after a report, an expired lease and a cancellation, as tables of rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from libs.common.locations import Location
from services.scheduler.model.reason import Reason, reason
from services.scheduler.model.run import Run
from services.scheduler.model.run_plan import RetryPolicy, RunPlan, StagePlan
from services.scheduler.model.task import Task
from services.scheduler.tasks import transitions
from services.scheduler.tasks.transitions import AttemptResult

NOW = 100.0


def task(name: str, state: Any, **fields: Any) -> Task:
    return Task(**{"id": name, "kind": "stage", "app": "leaf", "name": name, "state": state,
                   "created_at": 1.0, "token": 1, "worker": "w", **fields})  # fmt: skip


def run(status: Any = "running", *, retries: int = 0, **fields: Any) -> Run:
    policy = RetryPolicy(retries, backoff=10.0, factor=2.0, reasons=("error",))
    plan = RunPlan(
        timeout=50.0,
        stages=(StagePlan(name="a", retries=policy, timeout=1.0, outputs=("made", "kept")),),
        waits={"a": (), "b": ("a",), "c": ()},
        targets={"made": Location(box="data", user="u", group="weights")},
    )
    return Run(id="r", app="leaf", pipeline="p", user="u", status=status, created_at=1.0, plan=plan, **fields)


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


def states(step: transitions.RunTransition) -> dict[str, Any]:
    return {name: columns.get("state", columns.get("stop_requested")) for name, columns in step.tasks.items()}


def test_a_stage_starts_when_those_before_it_have_succeeded() -> None:
    step = transitions.advance_run(run(), [task("a", "succeeded"), task("b", "waiting"), task("c", "claimed")], NOW)
    assert (states(step), step.run) == ({"b": "ready"}, {})


def test_a_stage_in_its_back_off_is_not_started_by_its_inputs() -> None:
    step = transitions.advance_run(
        run(), [task("a", "succeeded"), task("b", "waiting", not_before=120.0), task("c", "succeeded")], NOW
    )
    assert (states(step), step.run) == ({}, {})


def test_a_failure_skips_what_waits_and_stops_what_runs() -> None:
    step = transitions.advance_run(run(), [task("a", "failed"), task("b", "waiting"), task("c", "claimed")], NOW)
    assert states(step) == {"b": "skipped", "c": True}


def test_the_run_fails_with_the_stages_reason_when_nothing_is_open() -> None:
    why = Reason("error", "boom", {"exit_code": 3})
    tasks = [task("a", "failed", reason=why, log_tail=["boom"]), task("b", "skipped"), task("c", "canceled")]
    assert transitions.advance_run(run(), tasks, NOW).run == {
        "status": "failed",
        "reason": Reason("error", "boom", {"exit_code": 3, "stage": "a", "log_tail": ["boom"]}),
        "finished_at": NOW,
    }


def test_the_run_succeeds_with_its_last_stage() -> None:
    step = transitions.advance_run(run(), [task(name, "succeeded") for name in "abc"], NOW)
    assert step.run == {"status": "succeeded", "reason": None, "finished_at": NOW}


def test_cancel_ends_what_waits_at_once_and_asks_for_the_stop_of_what_runs() -> None:
    step = transitions.advance_run(
        run("canceling"), [task("a", "claimed"), task("b", "waiting"), task("c", "ready")], NOW
    )
    assert (states(step), step.run) == ({"a": True, "b": "canceled", "c": "canceled"}, {})


def test_a_canceled_run_with_nothing_open_is_canceled() -> None:
    step = transitions.advance_run(run("canceling"), [task(name, "canceled") for name in "abc"], NOW)
    assert step.run["status"] == "canceled"


@pytest.mark.parametrize(
    ("late_run", "code"),
    [(run(), "expired"), (replace(run(), started_at=49.0), "timeout")],
)
def test_a_run_that_is_late_has_not_begun_or_not_ended(late_run: Run, code: str) -> None:
    assert transitions.deadline_reason(late_run).code == code


def test_retry_from_a_stage_runs_it_and_what_depends_on_it() -> None:
    tasks = [task("a", "succeeded"), task("b", "failed"), task("c", "succeeded")]
    assert set(transitions.reset_for_retry(run("failed"), tasks, None)) == {"a", "b", "c"}
    assert set(transitions.reset_for_retry(run("failed"), tasks, "b")) == {"b"}
    assert set(transitions.reset_for_retry(run("failed"), tasks, "a")) == {"a", "b"}
    assert set(transitions.reset_for_retry(run("failed"), tasks, "c")) == {"b", "c"}
