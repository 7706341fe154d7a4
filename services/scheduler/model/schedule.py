"""Schedules: pipelines that are started by time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from libs.common.manifests.schedule import next_start

ConcurrencyPolicy = Literal["Allow", "Forbid", "Replace"]


@dataclass(frozen=True)
class ScheduleSpec:
    """As written in the manifest."""

    cron: str
    timezone: str
    inputs: Mapping[str, Any]
    concurrency_policy: ConcurrencyPolicy

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Accepts any object: the start of a schedule fails that cannot be read, and holds up no other."""
        return cls(
            document.get("cron", ""),
            document.get("timezone", ""),
            document.get("inputs", {}),
            document.get("concurrencyPolicy", "Allow"),
        )

    def to_json(self) -> dict[str, Any]:
        times = {"cron": self.cron, "timezone": self.timezone}
        return {**times, "inputs": dict(self.inputs), "concurrencyPolicy": self.concurrency_policy}

    def next_start(self, since: float) -> float | None:
        """The first start after `since`, both in epoch seconds. Raises CronSimError, ZoneInfoNotFoundError."""
        return next_start(self.cron, self.timezone, since)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A pipeline that is started by time."""

    app: str
    pipeline: str
    spec: ScheduleSpec
    paused: bool = False
    next_at: float | None = None
    last_at: float | None = None
    last_run: str | None = None
    problem: str | None = None
    """Why the last start failed."""
