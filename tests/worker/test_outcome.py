"""Reports: the JSON of an outcome."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.worker.failures import TaskFailed
from services.worker.outcome import Outcome

GOLDEN = Path(__file__).parents[1] / "common" / "protocol" / "golden"
SUCCEEDED = Outcome(
    "succeeded",
    outputs={"features": {"files": 3, "bytes": 1024, "sha256": "ab"}},
    log_tail=["done"],
    usage={"duration": 1.5, "peak_memory": None, "cpu_seconds": 0.5},
    cache_key="ab" * 16,
)
FAILED = Outcome("failed", TaskFailed("error", "boom", exit_code=1).reason)


@pytest.mark.parametrize(
    ("outcome", "progress", "name"), [(SUCCEEDED, (4, 4), "report_succeeded"), (FAILED, None, "report_failed")]
)
def test_a_report_is_that_of_the_release_before(
    outcome: Outcome, progress: tuple[float, float] | None, name: str
) -> None:
    expected = json.loads((GOLDEN / f"{name}.json").read_text())
    assert outcome.to_report("w1", 7, progress).to_json() == expected


def nested(depth: int) -> Any:
    return {} if depth == 0 else {"a": nested(depth - 1)}


@pytest.mark.parametrize("answer", [{"id": 1 << 64}, {"text": "\ud800"}, nested(300)], ids=["number", "text", "depth"])
def test_a_result_that_cannot_be_stored_is_no_report(answer: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^answer: Value error, "):
        Outcome("succeeded", answer=answer).to_report("w1", 7, None)
