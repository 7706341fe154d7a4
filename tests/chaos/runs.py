"""A run whose stages leave a line each time that they are executed, wherever that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.application import Application


class Traced:
    """Submitted at once; `seconds` is how long each stage takes."""

    def __init__(self, app: Application, trace: Path, **seconds: float) -> None:
        self.app, self._trace = app, trace
        self.answer = app.submit({"trace": str(trace), "seconds": seconds})
        assert self.answer.status == 202, self.answer.body
        self.place = self.answer.headers["Location"]

    def executed(self) -> list[str]:
        """Stages in the order in which they began."""
        return self._trace.read_text().split() if self._trace.exists() else []

    def reaches(self, stage: str, times: int = 1) -> None:
        self.app.eventually(f"{stage} is executed", lambda: self.executed().count(stage) >= times)

    def ended(self) -> dict[str, Any]:
        return self.app.ended(self.place)

    def marks(self) -> list[str]:
        """What the accepted attempt of each stage left: exactly one file with one mark a stage."""
        outputs = self.app.outputs(self.place)
        assert list(outputs) == ["marks"]
        return outputs["marks"].decode().split()
