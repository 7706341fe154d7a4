"""A webhook delivery as the delivery log keeps it: never its body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.http.response_shapes import Time, response_shape
from libs.common.times import iso_time


@response_shape
class FailedCheckJson(TypedDict):
    """Why a delivery was refused."""

    check: Annotated[str, Field(examples=["X-Gitea-Signature"])]
    """The header or the limit that was checked."""
    detail: str
    """What is wrong, and what to set."""


@response_shape
class WebhookDeliveryJson(TypedDict):
    """A webhook delivery, accepted or refused."""

    id: str
    """For `redeliver`."""
    received_at: Time
    forge: Annotated[str | None, Field(examples=["gitea"])]
    event: Annotated[str | None, Field(examples=["push"])]
    ref: Annotated[str | None, Field(examples=["refs/heads/main"])]
    """Only of accepted deliveries: what is not proven is not read."""
    delivery: str | None
    """The forge's own id, as its list of deliveries shows it."""
    status: Annotated[int, Field(examples=[202])]
    """The status of the answer."""
    deployment: str | None
    failed: FailedCheckJson | None


@dataclass(frozen=True)
class Delivery:
    """`id` is the forge's own for an accepted delivery, so that a repeated one is recognised."""

    id: str
    app: str
    status: int
    forge: str | None = None
    event: str | None = None
    ref: str | None = None
    forge_id: str | None = None
    deployment: str | None = None
    failed_check: str | None = None
    detail: str | None = None
    received_at: float = 0.0

    def to_json(self) -> WebhookDeliveryJson:
        failed: FailedCheckJson | None = None
        if self.failed_check is not None:
            failed = {"check": self.failed_check, "detail": self.detail or ""}
        return {
            "id": self.id,
            "received_at": iso_time(self.received_at),
            "forge": self.forge,
            "event": self.event,
            "ref": self.ref,
            "delivery": self.forge_id,
            "status": self.status,
            "deployment": self.deployment,
            "failed": failed,
        }
