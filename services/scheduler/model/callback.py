"""Callbacks of runs and their deliveries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from typing_extensions import TypedDict

from libs.common.http.response_shapes import Time, response_shape

DeliveryState = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, kw_only=True)
class Callback:
    """The webhook of a run: its specification, and the events that have been enqueued."""

    run: str
    app: str
    user: str
    spec: dict[str, Any]
    enqueued_events: list[str] = field(default_factory=list)
    checked_version: int = 0
    """The version of the run that was checked last."""
    open: bool = True


@response_shape
class DeliveryAttemptJson(TypedDict):
    """One try to deliver an event."""

    at: Time
    status: int | None
    """The receiver's HTTP status; null when it could not be reached."""
    error: str | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One event of a run, sent until the receiver accepts it or the tries are used up."""

    id: str
    run: str
    event: str
    body: str
    created_at: float
    state: DeliveryState = "pending"
    attempts: list[DeliveryAttemptJson] = field(default_factory=list)
    next_at: float | None = None
