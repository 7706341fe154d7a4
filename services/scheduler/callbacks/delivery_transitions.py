"""State transitions of a delivery: the events that are due, and its columns and retry delay after an attempt. Pure."""

from __future__ import annotations

from typing_extensions import TypedDict

from libs.common.times import iso_time
from services.scheduler.model.callback import Callback, Delivery, DeliveryAttemptJson, DeliveryState
from services.scheduler.model.run import Run

RETRY_DELAYS_S = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
"""Between the attempts of one delivery: a receiver may be down for a day."""
HTTP_GONE = 410


class DeliveryColumns(TypedDict):
    """The columns of a delivery that an attempt changes."""

    state: DeliveryState
    attempts: list[DeliveryAttemptJson]
    next_at: float | None


def due_events(callback: Callback, run: Run) -> dict[str, str]:
    """Events to send now, by event key; a retried run has its events again, under new keys."""
    happened = {f"started {run.started_at}": "started"} if run.started_at is not None else {}
    if run.is_final:
        happened[f"{run.status} {run.finished_at}"] = run.status
    subscribed = callback.spec.events
    return {
        event_key: event
        for event_key, event in happened.items()
        if event in subscribed and event_key not in callback.enqueued_events
    }


def delivery_after_attempt(
    delivery: Delivery, status: int | None, error: str | None, seconds: float, now: float
) -> DeliveryColumns:
    """The delivery's columns after an attempt; `status`: the receiver's HTTP status, None when it was unreachable."""
    attempts: list[DeliveryAttemptJson] = [
        *delivery.attempts,
        {"at": iso_time(now), "status": status, "error": error, "seconds": round(seconds, 3)},
    ]
    if status is not None and 200 <= status < 300:
        return {"state": "delivered", "attempts": attempts, "next_at": None}
    retries = len(attempts) - 1
    if status == HTTP_GONE or retries >= len(RETRY_DELAYS_S):
        return {"state": "failed", "attempts": attempts, "next_at": None}
    return {"state": "pending", "attempts": attempts, "next_at": now + RETRY_DELAYS_S[retries]}
