"""Callbacks of runs and their deliveries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

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


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One event of a run, sent until the receiver accepts it or the tries are used up."""

    id: str
    run: str
    event: str
    body: str
    created_at: float
    state: DeliveryState = "pending"
    attempts: list[dict[str, Any]] = field(default_factory=list)
    next_at: float | None = None
