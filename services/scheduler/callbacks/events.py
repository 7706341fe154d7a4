"""A run's callback: the events to send, and the retry schedule. Pure.

A delivery's body is a CloudEvent 1.0 in JSON, whose `data` is the run as `GET` shows it. Its id stays the same however
often it is sent, so that a receiver can drop the second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from libs.common.times import iso_time
from services.scheduler.model.callback import Callback, Delivery
from services.scheduler.model.run import Run

RETRY_DELAYS_S = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
"""Between the attempts of one delivery: a receiver may be down for a day."""
HTTP_GONE = 410


def callback_to_json(spec: Mapping[str, Any], secret: str | None) -> dict[str, Any]:
    """The callback as its caller may see it, without headers, which may be credentials."""
    return {"url": spec["url"], "events": spec["events"], **({"secret": secret} if secret else {})}


def due_events(callback: Callback, run: Run) -> dict[str, str]:
    """Events to send now, by event key; a retried run has its events again, under new keys."""
    happened = {f"started {run.started_at}": "started"} if run.started_at is not None else {}
    if run.is_final:
        happened[f"{run.status} {run.finished_at}"] = run.status
    subscribed = callback.spec["events"]
    return {
        event_key: event
        for event_key, event in happened.items()
        if event in subscribed and event_key not in callback.enqueued_events
    }


def build_cloud_event(
    delivery_id: str, run: Run, event: str, run_json: Mapping[str, Any], public_url: str
) -> dict[str, Any]:
    """The CloudEvent 1.0 of one event."""
    time = run.started_at if event == "started" else run.finished_at
    return {
        "specversion": "1.0",
        "id": delivery_id,
        "source": f"{public_url}/{run.app}/runs",
        "type": f"mlmesh.run.{event}",
        "subject": run.id,
        "time": iso_time(time),
        "datacontenttype": "application/json",
        "data": dict(run_json),
    }


def delivery_after_attempt(
    delivery: Delivery, status: int | None, error: str | None, seconds: float, now: float
) -> dict[str, Any]:
    """The delivery's columns after an attempt; `status`: the receiver's HTTP status, None when it was unreachable."""
    attempts = [
        *delivery.attempts,
        {"at": iso_time(now), "status": status, "error": error, "seconds": round(seconds, 3)},
    ]
    if status is not None and 200 <= status < 300:
        return {"state": "delivered", "attempts": attempts, "next_at": None}
    retries = len(attempts) - 1
    if status == HTTP_GONE or retries >= len(RETRY_DELAYS_S):
        return {"state": "failed", "attempts": attempts, "next_at": None}
    return {"state": "pending", "attempts": attempts, "next_at": now + RETRY_DELAYS_S[retries]}


def delivery_to_json(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "event": delivery.event,
        "status": delivery.state,
        "attempts": delivery.attempts,
        "next_at": iso_time(delivery.next_at),
        "created_at": iso_time(delivery.created_at),
    }
