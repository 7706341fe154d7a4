"""A run's callback: the events to send, and the retry schedule. Pure.

A delivery's body is a CloudEvent 1.0 in JSON, whose `data` is the run as `GET` shows it. Its id stays the same however
often it is sent, so that a receiver can drop the second one.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.http.response_shapes import Page, Time, response_shape
from libs.common.times import iso_time
from services.scheduler.model.callback import Callback, CallbackRequest, Delivery, DeliveryAttemptJson, DeliveryState
from services.scheduler.model.run import Run
from services.scheduler.runs.views import RunJson

RETRY_DELAYS_S = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
"""Between the attempts of one delivery: a receiver may be down for a day."""
HTTP_GONE = 410


@response_shape
class CallbackJson(TypedDict):
    """The callback of a run, without its headers, which may be credentials."""

    url: Annotated[str, Field(examples=["https://lab.example/done"])]
    events: Annotated[list[str], Field(examples=[["succeeded", "failed"]])]
    secret: NotRequired[str]
    """With which its deliveries are signed; only the run's user sees it."""


@response_shape
class DeliveryJson(TypedDict):
    """One event of a run on its way to the callback."""

    id: str
    event: Annotated[str, Field(examples=["succeeded"])]
    status: DeliveryState
    attempts: list[DeliveryAttemptJson]
    next_at: Time | None
    created_at: Time


@response_shape
class DeliveryListJson(Page[DeliveryJson]):
    """All deliveries of a run, with its callback."""

    callback: CallbackJson | None


@response_shape
class CloudEventJson(TypedDict):
    """The body of a delivery: a CloudEvent 1.0."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: Time | None
    datacontenttype: Literal["application/json"]
    data: RunJson


class DeliveryColumns(TypedDict):
    """The columns of a delivery that an attempt changes."""

    state: DeliveryState
    attempts: list[DeliveryAttemptJson]
    next_at: float | None


def callback_to_json(request: CallbackRequest, secret: str | None) -> CallbackJson:
    """The callback as its caller may see it, without headers, which may be credentials."""
    callback: CallbackJson = {"url": request.url, "events": list(request.events)}
    return {**callback, "secret": secret} if secret else callback


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


def build_cloud_event(delivery_id: str, run: Run, event: str, run_json: RunJson, public_url: str) -> CloudEventJson:
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
        "data": run_json,
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


def delivery_to_json(delivery: Delivery) -> DeliveryJson:
    return {
        "id": delivery.id,
        "event": delivery.event,
        "status": delivery.state,
        "attempts": delivery.attempts,
        "next_at": iso_time(delivery.next_at),
        "created_at": iso_time(delivery.created_at),
    }
