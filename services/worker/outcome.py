"""The outcome of a task, as the worker reports it to the scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import ValidationError

from libs.common.http.problem import validation_error
from libs.common.protocol.report import FailureReason, OutputSummary, ResourceUsage, TaskReport


@dataclass(frozen=True)
class Outcome:
    outcome: Literal["succeeded", "failed", "canceled", "stopped", "returned", "lost", "reused"]
    """`reused` is not reported: the scheduler knows."""
    reason: FailureReason | None = None
    outputs: Mapping[str, OutputSummary] = field(default_factory=dict)
    log_tail: Sequence[str] = ()
    usage: ResourceUsage | None = None
    cache_key: str | None = None
    answer: Mapping[str, object] | None = None
    image: str | None = None
    engine: str | None = None
    """That has the image, if no image registry has it."""

    @property
    def failure_code(self) -> str | None:
        return None if self.reason is None else self.reason["code"]

    def to_report(self, worker: str, token: int, progress: tuple[float, float] | None) -> TaskReport:
        """Raises ValueError if it is not JSON that can be stored."""
        try:
            report = TaskReport(
                worker=worker,
                token=token,
                outcome=self.outcome,
                reason=None if self.reason is None else dict(self.reason),
                outputs=dict(self.outputs),
                log_tail=tuple(self.log_tail),
                usage=None if self.usage is None else dict(self.usage),
                progress=progress,
                answer=None if self.answer is None else dict(self.answer),
                cache_key=self.cache_key,
            )
            optional = {"image": self.image, "engine": self.engine}
            return report.model_copy(update={name: value for name, value in optional.items() if value is not None})
        except ValidationError as error:
            raise ValueError(validation_error(error.errors()).detail) from error
