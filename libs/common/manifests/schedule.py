"""Schedules of pipelines: a cron expression in a time zone."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator

from libs.common.manifests.fields import Section

CRON_FIELDS = 5


def next_start(cron: str, timezone: str, since: float) -> float | None:
    """The first start after `since`, both in epoch seconds; None if there is none within fifty years.

    Daylight saving follows Debian's cron: a start in the skipped hour happens right after it; a start in the repeated
    hour happens once, unless it is due at least every hour.
    Raises CronSimError, ZoneInfoNotFoundError.
    """
    at = datetime.fromtimestamp(since, UTC).astimezone(ZoneInfo(timezone))
    start = next(CronSim(cron, at), None)
    return None if start is None else start.timestamp()


@lru_cache(maxsize=256)
def check_cron(value: str) -> str:
    if len(value.split()) != CRON_FIELDS:
        raise ValueError("must be five cron fields, such as 0 6 * * 1-5")
    try:
        next_start(value, "UTC", 0.0)
    except CronSimError as error:
        raise ValueError(f"must be five cron fields, such as 0 6 * * 1-5: {str(error).lower()}") from error
    return value


def check_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("must be a time zone, such as Europe/Berlin or UTC") from error
    return value


class Schedule(Section):
    cron: Annotated[str, AfterValidator(check_cron)]
    timezone: Annotated[str, AfterValidator(check_timezone)] = "UTC"
    inputs: Mapping[str, Any] = {}
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] = "Allow"
