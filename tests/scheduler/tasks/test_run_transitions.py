"""State transitions of a run after the end of a stage, a cancellation and a deadline, and for a retry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.scheduler.model.reason import Reason
from services.scheduler.model.run import Run
from services.scheduler.tasks import run_transitions
from tests.scheduler.tasks.rows import NOW, run, task


def states(step: run_transitions.RunTransition) -> dict[str, Any]:
    return {name: columns.get("state", columns.get("stop_requested")) for name, columns in step.tasks.items()}


def test_a_stage_starts_when_those_before_it_have_succeeded() -> None:
    step = run_transitions.advance_run(run(), [task("a", "succeeded"), task("b", "waiting"), task("c", "claimed")], NOW)
    assert (states(step), step.run) == ({"b": "ready"}, {})


def test_a_stage_in_its_back_off_is_not_started_by_its_inputs() -> None:
    step = run_transitions.advance_run(
        run(), [task("a", "succeeded"), task("b", "waiting", not_before=120.0), task("c", "succeeded")], NOW
    )
    assert (states(step), step.run) == ({}, {})


def test_a_failure_skips_what_waits_and_stops_what_runs() -> None:
    step = run_transitions.advance_run(run(), [task("a", "failed"), task("b", "waiting"), task("c", "claimed")], NOW)
    assert states(step) == {"b": "skipped", "c": True}


def test_the_run_fails_with_the_stages_reason_when_nothing_is_open() -> None:
    why = Reason("error", "boom", {"exit_code": 3})
    tasks = [task("a", "failed", reason=why, log_tail=["boom"]), task("b", "skipped"), task("c", "canceled")]
    assert run_transitions.advance_run(run(), tasks, NOW).run == {
        "status": "failed",
        "reason": Reason("error", "boom", {"exit_code": 3, "stage": "a", "log_tail": ["boom"]}),
        "finished_at": NOW,
    }


def test_the_run_succeeds_with_its_last_stage() -> None:
    step = run_transitions.advance_run(run(), [task(name, "succeeded") for name in "abc"], NOW)
    assert step.run == {"status": "succeeded", "reason": None, "finished_at": NOW}


def test_cancel_ends_what_waits_at_once_and_asks_for_the_stop_of_what_runs() -> None:
    step = run_transitions.advance_run(
        run("canceling"), [task("a", "claimed"), task("b", "waiting"), task("c", "ready")], NOW
    )
    assert (states(step), step.run) == ({"a": True, "b": "canceled", "c": "canceled"}, {})


def test_a_canceled_run_with_nothing_open_is_canceled() -> None:
    step = run_transitions.advance_run(run("canceling"), [task(name, "canceled") for name in "abc"], NOW)
    assert step.run["status"] == "canceled"


@pytest.mark.parametrize(
    ("late_run", "code"),
    [(run(), "expired"), (replace(run(), started_at=49.0), "timeout")],
)
def test_a_run_that_is_late_has_not_begun_or_not_ended(late_run: Run, code: str) -> None:
    assert run_transitions.deadline_reason(late_run).code == code


def test_retry_from_a_stage_runs_it_and_what_depends_on_it() -> None:
    tasks = [task("a", "succeeded"), task("b", "failed"), task("c", "succeeded")]
    assert set(run_transitions.reset_for_retry(run("failed"), tasks, None)) == {"a", "b", "c"}
    assert set(run_transitions.reset_for_retry(run("failed"), tasks, "b")) == {"b"}
    assert set(run_transitions.reset_for_retry(run("failed"), tasks, "a")) == {"a", "b"}
    assert set(run_transitions.reset_for_retry(run("failed"), tasks, "c")) == {"b", "c"}
