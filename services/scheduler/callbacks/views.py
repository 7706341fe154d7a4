"""JSON of callbacks and their deliveries, as the API shows them. Pure."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.http.response_shapes import Page, Time, response_shape
from libs.common.times import iso_time
from services.scheduler.model.callback import CallbackRequest, Delivery, DeliveryAttemptJson, DeliveryState


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


def callback_to_json(request: CallbackRequest, secret: str | None) -> CallbackJson:
    """The callback as its caller may see it, without headers, which may be credentials."""
    callback: CallbackJson = {"url": request.url, "events": list(request.events)}
    return {**callback, "secret": secret} if secret else callback


def delivery_to_json(delivery: Delivery) -> DeliveryJson:
    return {
        "id": delivery.id,
        "event": delivery.event,
        "status": delivery.state,
        "attempts": delivery.attempts,
        "next_at": iso_time(delivery.next_at),
        "created_at": iso_time(delivery.created_at),
    }
