"""Deployments as values: their order, their steps, when a failed fetch is retried."""

from dataclasses import replace

import pytest

from services.registry.deployments.state import (
    Deployment,
    DeploymentStep,
    StepHistory,
    get_fetch_retry_time,
    select_due,
)
from tests.registry.deployments.examples import HEAD, LIVE, NEW, OLD, ROLLBACK, deployment


def test_of_those_that_ask_git_the_newest_is_due_and_all_others_are() -> None:
    asking, waits = deployment("pending", None, ()), replace(deployment("pending", HEAD), revision="r")
    assert select_due([ROLLBACK, asking]) == [ROLLBACK, asking]
    assert select_due([asking, replace(asking, seq=2), replace(asking, seq=3)]) == [replace(asking, seq=3)]
    assert select_due([waits, replace(asking, seq=2), replace(asking, seq=3)]) == [waits, replace(asking, seq=3)]
    assert select_due([]) == []


def test_steps_go_on_one_after_another() -> None:
    steps = StepHistory().start("fetch", 1.0).finish(2.0, detail="commit 1").start("secrets", 3.0)
    assert steps.steps == (
        DeploymentStep("fetch", "succeeded", "commit 1", 1.0, 2.0),
        DeploymentStep("secrets", "running", None, 3.0),
    )
    assert steps.waiting_reason is None
    assert steps.wait("no value").waiting_reason == "no value"
    assert [step.name for step in steps.drop_from("secrets").steps] == ["fetch"]
    assert steps.drop_from("other") == steps


def test_a_deployment_is_shown_with_iso_times_and_all_its_fields() -> None:
    document = deployment("live", HEAD, (DeploymentStep("fetch", "succeeded", None, 0.0, 1.5),)).to_json()
    assert document == {
        "id": "d", "app": "leafscan", "commit": HEAD, "tag": None, "author": None, "message": None,
        "trigger": "push", "caused_by": None, "repeats": None, "status": "live",
        "steps": [{"name": "fetch", "status": "succeeded", "detail": None, "started_at": "1970-01-01T00:00:00.000Z",
                   "finished_at": "1970-01-01T00:00:01.500Z"}],
        "errors": [], "warnings": [], "created_at": "1970-01-01T00:00:01.000Z", "live_at": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("promoted_from", "repeats"),
    [(None, {"app": "leafscan", "deployment": "d0"}), ("staging", {"app": "staging", "deployment": "d0"})],
)
def test_what_a_deployment_repeats_and_its_commit_are_known_from_the_start(
    promoted_from: str | None, repeats: dict[str, str]
) -> None:
    document = replace(ROLLBACK, rollback_to="d0", promoted_from=promoted_from, caused_by="token ci").to_json()
    assert (document["commit"], document["repeats"], document["caused_by"]) == (OLD, repeats, "token ci")


UNFETCHED = replace(
    deployment("failed", None, (DeploymentStep("fetch", "failed", "it broke", 90.0, 100.0),)), created_at=90.0
)


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
        ([replace(UNFETCHED, pinned_commit=OLD), UNFETCHED], None),
    ],
)
def test_a_fetch_that_failed_is_due_again_later_each_time(
    newest_first: list[Deployment], expected: float | None
) -> None:
    assert get_fetch_retry_time(newest_first) == expected
