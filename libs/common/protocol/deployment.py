"""Catalogs on their way to be live: `GET /internal/deployments` and `POST …/{id}/report`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from libs.common.http.tolerant_list import TolerantList
from libs.common.protocol.message import Message

RolloutStatus = Literal["starting", "live", "failed", "superseded"]


class StartingDeployment(Message):
    """A deployment that scheduler shall roll out."""

    id: str
    app: str
    commit: str
    catalog: Mapping[str, object]
    """A `Catalog`; scheduler fails a deployment of which it cannot read it."""
    rollback_to: str | None = None
    """The deployment whose exact images are used again."""
    promoted_from: str | None = None
    """The app of that deployment, when it is another one."""


class StartingDeployments(Message):
    """All deployments in status `starting`, oldest first."""

    items: TolerantList[StartingDeployment] = ()


class RolloutStep(Message):
    """A step of a rollout."""

    name: str
    """boxes, images, start or switch."""
    status: str
    """running, waiting, succeeded or failed."""
    detail: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    ready: int | None = None
    """Of `start` while it runs: instances that are healthy, or wait for what the rollout does not bring."""
    total: int | None = None


class RolloutProblem(Message):
    """An error, or a warning about an instance that serves."""

    message: str
    file: str | None = None
    """The manifest, and the place in it."""
    line: int | None = None
    column: int | None = None
    component: str | None = None
    reason: str | None = None
    """The code of the reason that an instance did not start."""
    log_tail: tuple[str, ...] = ()
    """Its last lines."""


class DeploymentReport(Message):
    """What scheduler has done; it replaces the steps, errors and warnings that it reported before."""

    status: RolloutStatus
    steps: TolerantList[RolloutStep] = ()
    errors: TolerantList[RolloutProblem] = ()
    warnings: TolerantList[RolloutProblem] = ()
