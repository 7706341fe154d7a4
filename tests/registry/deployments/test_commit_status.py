"""What a forge is told of a deployment in each of its states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.registry.checks.problems import error_without_position
from services.registry.deployments.commit_status import DeploymentStatus, Progress, describe_deployment
from services.registry.deployments.state import DeploymentStep
from services.registry.forges.commit_status import CommitState
from tests.registry.deployments.examples import HEAD, deployment

FETCHED = DeploymentStep("fetch", "succeeded")
WAITING = DeploymentStep("secrets", "waiting", 'secret "users" has no value')
PLACED = {"file": "manifests/api.yml", "line": 7, "column": 5, "message": "unknown field"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"commit_id": None}, None),
        ({"status": "pending"}, DeploymentStatus(CommitState.PENDING, "checking")),
        ({"status": "pending", "steps": (FETCHED, WAITING)},
         DeploymentStatus(CommitState.PENDING, 'waiting: secret "users" has no value')),
        ({"status": "building"}, DeploymentStatus(CommitState.RUNNING, "starting")),
        ({"status": "starting", "steps": (FETCHED, DeploymentStep("images", "running", "digits:1"))},
         DeploymentStatus(CommitState.RUNNING, "preparing images")),
        ({"status": "starting", "steps": (FETCHED, DeploymentStep("images", "succeeded"))},
         DeploymentStatus(CommitState.RUNNING, "starting")),
        ({"status": "live", "created_at": 10.0, "live_at": 16.24},
         DeploymentStatus(CommitState.SUCCESS, "live in 6.2 s")),
        ({"status": "failed", "errors": (PLACED,)},
         DeploymentStatus(CommitState.FAILURE, "manifests/api.yml:7:5: unknown field")),
        ({"status": "failed", "errors": (error_without_position("no image"),)},
         DeploymentStatus(CommitState.FAILURE, "no image")),
        ({"status": "failed"}, DeploymentStatus(CommitState.FAILURE, "the deployment failed")),
        ({"status": "superseded", "steps": (FETCHED, WAITING)},
         DeploymentStatus(CommitState.CANCELED, "a newer deployment took its place")),
        ({"status": "superseded", "steps": (FETCHED,)}, None),
        ({"status": "superseded", "steps": (FETCHED, WAITING), "live_at": 5.0}, None),
    ],
)  # fmt: skip
def test_what_is_told(fields: dict[str, Any], expected: DeploymentStatus | None) -> None:
    assert describe_deployment(replace(deployment("pending", HEAD), **fields)) == expected


@pytest.mark.parametrize(
    ("progress", "description"),
    [(None, "starting"), (Progress(0, 0), "starting"), (Progress(2, 3), "starting: 2 of 3")],
)
def test_how_far_a_start_is(progress: Progress | None, description: str) -> None:
    starting = deployment("starting", HEAD)
    assert describe_deployment(starting, progress) == DeploymentStatus(CommitState.RUNNING, description)
