"""The body of a delivery: a CloudEvent 1.0 in JSON, whose `data` is the run as `GET` shows it. Pure.

Its id stays the same however often it is sent, so that a receiver can drop the second one.
"""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from libs.common.http.response_shapes import Time, response_shape
from libs.common.times import iso_time
from services.scheduler.model.run import Run
from services.scheduler.runs.views import RunJson


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
