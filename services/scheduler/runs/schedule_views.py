"""The JSON of schedules. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.http.response_shapes import JsonObject, Time, response_shape
from libs.common.times import iso_time
from services.scheduler.model.schedule import Schedule


@response_shape
class ScheduleJson(TypedDict):
    """When a pipeline starts by itself."""

    pipeline: Annotated[str, Field(examples=["train"])]
    cron: Annotated[str, Field(examples=["0 6 * * 1-5"])]
    timezone: Annotated[str, Field(examples=["Europe/Berlin"])]
    inputs: JsonObject
    concurrencyPolicy: Literal["Allow", "Forbid", "Replace"]
    """What happens when the run before has not ended."""
    paused: bool
    next_at: Time | None
    last_at: Time | None
    last_run: str | None
    problem: str | None
    """Why the last start failed."""


def schedule_to_json(schedule: Schedule) -> ScheduleJson:
    spec = schedule.spec
    return {
        "pipeline": schedule.pipeline,
        "cron": spec.cron,
        "timezone": spec.timezone,
        "inputs": dict(spec.inputs),
        "concurrencyPolicy": spec.concurrency_policy,
        "paused": schedule.paused,
        "next_at": None if schedule.paused else iso_time(schedule.next_at),
        "last_at": iso_time(schedule.last_at),
        "last_run": schedule.last_run,
        "problem": schedule.problem,
    }
