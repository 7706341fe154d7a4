"""Why a run or a task is in its state."""

from __future__ import annotations

from typing import Any

Reason = dict[str, Any]
"""`code`, `detail`, and for failures `exit_code`, `signal`, `log_tail`. The API shows it."""


def reason(code: str, detail: str = "", **details: Any) -> Reason:
    """Make a reason; details that are None are left out."""
    return {"code": code, "detail": detail, **{key: value for key, value in details.items() if value is not None}}
