"""Why a run or a task is in its state."""

from __future__ import annotations

from typing import Any

Reason = dict[str, Any]
"""`code`, `detail`, and for failures `exit_code`, `signal`, `log_tail`: machine-readable, and shown to people."""


def reason(code: str, detail: str = "", **details: Any) -> Reason:
    return {"code": code, "detail": detail, **{key: value for key, value in details.items() if value is not None}}
