"""The lines that a person who pushes reads, by what a deployment has come to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.registry.deployments.state import Deployment, DeploymentStep
from services.registry.hosting.progress_lines import describe_change, describe_end, describe_step, find_wait

PENDING = Deployment(
    seq=1, id="d", app="leaf", trigger="push", status="pending", pinned_commit=None, commit_id=None, author=None,
    message=None, revision=None, errors=(), warnings=(), created_at=100.0, live_at=None,
)  # fmt: skip
FETCHING = DeploymentStep("fetch", "running", started_at=100.0)
FETCHED = DeploymentStep("fetch", "succeeded", "commit 1234", 100.0, 100.25)


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (FETCHING, None),
        (FETCHED, "  fetch: commit 1234 (0.2 s)"),
        (DeploymentStep("start", "running", "1 of 2", 100.0), "  start: 1 of 2 ..."),
        (DeploymentStep("start", "failed", "exited", 100.0, 101.0), None),
    ],
)
def test_a_step_is_told_when_it_has_ended_or_says_something(step: DeploymentStep, line: str | None) -> None:
    assert describe_step(step) == line


def test_only_what_has_changed_is_told() -> None:
    fetched = replace(PENDING, steps=(FETCHED, DeploymentStep("validate", "running", started_at=100.3)))
    assert list(describe_change(replace(PENDING, steps=(FETCHING,)), fetched)) == ["  fetch: commit 1234 (0.2 s)"]
    assert list(describe_change(fetched, fetched)) == []


def test_a_deployment_that_waits_for_a_person_says_for_what() -> None:
    waiting = replace(PENDING, steps=(FETCHED, DeploymentStep("secrets", "waiting", "a value is missing", 101.0)))
    assert (find_wait(waiting), find_wait(PENDING)) == ("a value is missing", None)
    assert find_wait(replace(waiting, status="superseded")) is None


def test_the_end_says_where_it_answers_or_what_to_mend() -> None:
    live = replace(PENDING, status="live", live_at=103.5)
    assert list(describe_end(live, ["http://m/leaf/x/predict"])) == ["live after 3.5 s", "http://m/leaf/x/predict"]
    placed = {"file": "m.yml", "line": 7, "column": 5, "message": "unknown field"}
    plain = {"file": None, "line": None, "column": None, "message": "the engine is away", "log_tail": ["one", "two"]}
    failed = replace(PENDING, status="failed", errors=(placed, plain))  # type: ignore[arg-type]  # as they are stored
    assert list(describe_end(failed, [])) == [
        "m.yml:7:5: unknown field",
        "the engine is away",
        "  | one",
        "  | two",
        "the deployment failed; what was live before goes on",
        "the commit is stored: mend the cause and push, or try it again with: mlmesh app sync leaf",
    ]
    unchanged = replace(PENDING, status="superseded", steps=(FETCHED,))
    assert list(describe_end(unchanged, [])) == ["nothing new to deploy"]
    assert list(describe_end(replace(PENDING, status="superseded"), [])) == ["a newer deployment takes its place"]
