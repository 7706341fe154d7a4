"""The JSON of apps: what the registry knows of them, with what runs and what is stored."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.component_status import ComponentJson
from libs.common.http.response_shapes import AppName, Commit, Time, response_shape
from services.registry.apps import RepositoryJson
from services.registry.deployments.state import DeploymentJson, DeploymentStatus
from services.registry.published_apis import ApiJson


@response_shape
class DeploymentSummaryJson(TypedDict):
    """A deployment, without its steps."""

    id: str
    commit: Commit | None
    status: DeploymentStatus
    created_at: Time
    live_at: Time | None


@response_shape
class AppSummaryJson(TypedDict):
    """An app in the list of apps."""

    name: AppName
    title: str
    created_at: Time
    live: DeploymentSummaryJson | None
    """The deployment that is live."""
    newest: DeploymentSummaryJson | None
    """The newest one, whatever its status."""
    poll_error: str | None
    """Why the repository could not be read the last time."""


@response_shape
class BoxJson(TypedDict):
    """A box; its figures are bytes."""

    name: Annotated[str, Field(examples=["results"])]
    capacity: int
    used: int
    reserved: int
    """For uploads under way and links that were given out."""
    detached: bool
    """Whether the app declares it no longer; it keeps its data."""


@response_shape
class UnavailableServiceJson(TypedDict):
    """A service that did not respond, so that its part of the page is empty."""

    service: str
    detail: str


@response_shape
class AppJson(TypedDict):
    """An app with all that belongs to it."""

    name: AppName
    title: str
    description: str
    module_kind: str
    owners: list[str]
    created_at: Time
    repository: RepositoryJson | None
    apis: list[ApiJson]
    live: DeploymentJson | None
    newest: DeploymentJson | None
    components: list[ComponentJson]
    boxes: list[BoxJson]
    unavailable: list[UnavailableServiceJson]


@response_shape
class NewAppJson(AppJson):
    """An app that was created."""

    deployment: NotRequired[str]
    """Of its first commit; only with a template."""
    clone: NotRequired[Annotated[str, Field(examples=["https://mesh.example/git/texts.git"])]]
    """Where its repository is cloned from and pushed to; only with a template."""
