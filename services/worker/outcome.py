"""The outcome of a task, as the worker reports it to the scheduler."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    outcome: str
    reason: dict[str, Any] | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    log_tail: list[str] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    content: str | None = None
    answer: object | None = None
