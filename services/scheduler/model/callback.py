"""Callbacks of runs and their deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from typing_extensions import TypedDict

from libs.common.http.response_shapes import Time, response_shape

DeliveryState = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, kw_only=True)
class CallbackRequest:
    """The field `callback` of a submission, with defaults."""

    url: str
    events: tuple[str, ...]
    headers: Mapping[str, str] | str
    """Encrypted, as a text, where they are stored; version 0.1 stored them in clear."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        return cls(url=document["url"], events=tuple(document["events"]), headers=document["headers"])

    def to_json(self) -> dict[str, Any]:
        return {"url": self.url, "events": self.events, "headers": self.headers}


@dataclass(frozen=True, kw_only=True)
class Callback:
    """The webhook of a run: what was asked for, and the events that have been enqueued."""

    run: str
    app: str
    user: str
    spec: CallbackRequest
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
