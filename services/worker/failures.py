"""Failures of a task that its developer or the operator can act on."""

from __future__ import annotations

from typing import Unpack

from libs.common.errors import MeshError
from libs.common.protocol.report import FailureDetails, FailureReason


class TaskFailed(MeshError):
    """The task failed for a reason that its developer or an operator can act on."""

    def __init__(self, code: str, detail: str, **details: Unpack[FailureDetails]) -> None:
        detail = detail.encode(errors="replace").decode()  # a file name in it may not be UTF-8
        super().__init__(detail)
        self.reason: FailureReason = {"code": code, "detail": detail, **details}
