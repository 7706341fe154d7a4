"""Failures of a task that its developer or the operator can act on."""

from __future__ import annotations

from typing import Any

from libs.common.errors import MeshError


class TaskFailed(MeshError):
    """The task failed for a reason that its developer or an operator can act on."""

    def __init__(self, code: str, detail: str, **extra: Any) -> None:
        detail = detail.encode(errors="replace").decode()  # a file name in it may not be UTF-8
        super().__init__(detail)
        self.reason = {"code": code, "detail": detail, **extra}
