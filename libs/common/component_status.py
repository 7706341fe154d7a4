"""Status of an app's components: the scheduler's, which the registry shows with the app."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.http.response_shapes import ReasonJson, Time, response_shape

ComponentStatus = Literal["healthy", "failing", "waiting", "unhealthy", "starting", "asleep", "stopped"]
"""`asleep`: scaled to zero, a call starts it."""


@response_shape
class InstanceJson(TypedDict):
    """One instance of a component."""

    id: str
    status: Annotated[str | None, Field(examples=["healthy"])]
    """The phase that its worker reports, or the state of its task before a worker has it."""
    worker: str | None
    reason: ReasonJson | None
    detail: str | None
    attempt: int
    started_at: Time | None
    stops_at: Time | None
    """When one that a newer deployment has replaced is stopped, unless a rollback uses it again."""


@response_shape
class ComponentJson(TypedDict):
    """A component of the live deployment or of one that is starting."""

    name: Annotated[str, Field(examples=["classifier"])]
    status: ComponentStatus
    reason: ReasonJson | None
    """Why it is not healthy."""
    instances: list[InstanceJson]
    error: str | None
    """The newest failure, while nothing is healthy."""
    log_tail: list[str]
    """The last lines of a failed instance."""
