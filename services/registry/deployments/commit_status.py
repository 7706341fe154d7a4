"""What the forge is told of a deployment. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from services.registry.checks.problems import describe_error
from services.registry.deployments.state import Deployment
from services.registry.forges.commit_status import CommitState


@dataclass(frozen=True)
class Progress:
    """Of the instances that a deployment starts."""

    ready: int
    total: int


@dataclass(frozen=True)
class DeploymentStatus:
    """The status of a deployment's commit."""

    state: CommitState
    description: str


def describe_deployment(deployment: Deployment, progress: Progress | None = None) -> DeploymentStatus | None:
    """None when there is nothing to tell: its commit is not known, or another deployment tells of it."""
    if deployment.commit_id is None:
        return None
    match deployment.status:
        case "pending":
            return DeploymentStatus(CommitState.PENDING, _describe_pending(deployment))
        case "building" | "starting":
            return DeploymentStatus(CommitState.RUNNING, _describe_start(deployment, progress))
        case "live":
            seconds = (deployment.live_at or deployment.created_at) - deployment.created_at
            return DeploymentStatus(CommitState.SUCCESS, f"live in {seconds:.1f} s")
        case "failed":
            first = deployment.errors[0] if deployment.errors else None
            return DeploymentStatus(CommitState.FAILURE, describe_error(first) if first else "the deployment failed")
        case "superseded":
            return _describe_superseded(deployment)


def _describe_pending(deployment: Deployment) -> str:
    last = deployment.steps[-1] if deployment.steps else None
    return f"waiting: {last.detail}" if last is not None and last.status == "waiting" else "checking"


def _describe_start(deployment: Deployment, progress: Progress | None) -> str:
    if progress is not None and progress.total:
        return f"starting: {progress.ready} of {progress.total}"
    last = deployment.steps[-1] if deployment.steps else None
    is_preparing = last is not None and last.name == "images" and last.status == "running"
    return "preparing images" if is_preparing else "starting"


def _describe_superseded(deployment: Deployment) -> DeploymentStatus | None:
    """One that was live was told of as such; one that only fetched found a commit that another deployment has."""
    if deployment.live_at is not None or [step.name for step in deployment.steps] == ["fetch"]:
        return None
    return DeploymentStatus(CommitState.CANCELED, "a newer deployment took its place")
