"""Schedules: pipelines that are started by time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A pipeline that is started by time."""

    app: str
    pipeline: str
    spec: dict[str, Any]
    """As written in the manifest."""
    paused: bool = False
    next_at: float | None = None
    last_at: float | None = None
    last_run: str | None = None
    problem: str | None = None
    """Why the last start failed."""
