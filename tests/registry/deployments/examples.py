"""Example deployments for tests of decisions."""

from dataclasses import replace

from services.registry.deployments.state import Deployment, DeploymentStatus, DeploymentStep

OLD, HEAD, NEW = "1" * 40, "2" * 40, "3" * 40


def deployment(
    status: DeploymentStatus,
    commit: str | None,
    steps: tuple[DeploymentStep, ...] = (DeploymentStep("fetch", "running"),),
) -> Deployment:
    return Deployment(1, "d", "leafscan", "push", status, None, commit, None, None, None, (), (), 1.0, None, steps)


LIVE = deployment("live", HEAD)
ROLLBACK = replace(deployment("pending", None, ()), pinned_commit=OLD)
"""A queued rollback that abandons HEAD."""
