"""Why a run or a task is in its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

ReasonCode = Literal[
    "canceled",
    "checking_model",
    "draining",
    "error",
    "exited",
    "expired",
    "image",
    "image_pull",
    "inputs",
    "lost",
    "model_missing",
    "no_worker_for",
    "nothing_ready",
    "output",
    "paused",
    "quota",
    "returned",
    "runs_ahead",
    "secrets",
    "starting",
    "timeout",
    "unhealthy",
    "workers_busy",
]
"""Codes that the scheduler gives or acts on; workers report others, too."""


@dataclass(frozen=True)
class Reason:
    """A word for programs and a sentence for people. The API shows it."""

    code: ReasonCode | str
    detail: str | None = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Of failures `exit_code`, `signal`, `log_tail` and more."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        details = {name: value for name, value in document.items() if name not in ("code", "detail")}
        return cls(document.get("code", ""), document.get("detail", ""), details)

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "detail": self.detail, **self.details}

    def with_details(self, **details: Any) -> Reason:
        return replace(self, details={**self.details, **details})


def reason(code: ReasonCode, detail: str = "") -> Reason:
    """A reason that the scheduler gives."""
    return Reason(code, detail)
