"""A figure says what it is a ratio of; all figures together are a pass, a failure, or neither."""

import pytest

from benchmarks.figures import INCOMPLETE, OVER, WITHIN, Figure, Finding, Unmeasured, exit_code, median_ms

GOOD = Figure("start", 75.0, 150.0, "ms", "of 3")
AT_LIMIT = Figure("start", 150.0, 150.0, "ms")
BAD = Figure("start", 300.0, 150.0, "ms")
ABSENT = Unmeasured("start", "no engine answers")


def test_a_figure_is_a_ratio_of_its_limit() -> None:
    assert (GOOD.ratio, BAD.ratio) == (0.5, 2.0)
    assert GOOD.line().endswith("75.0 ms of  150.0   ratio  0.50   (of 3)")
    assert BAD.line().endswith("ratio  2.00  OVER")


def test_a_missing_figure_says_why() -> None:
    assert ABSENT.line().endswith("NOT MEASURED   (no engine answers)")


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([GOOD, AT_LIMIT], WITHIN),
        ([GOOD, BAD], OVER),
        ([GOOD, ABSENT], INCOMPLETE),
        ([ABSENT, BAD], OVER),
        ([], INCOMPLETE),
    ],
)
def test_only_complete_figures_within_their_limits_pass(found: list[Finding], code: int) -> None:
    assert exit_code(found) == code


def test_the_median_is_in_milliseconds() -> None:
    assert median_ms([0.1, 0.3, 0.2]) == 200.0
