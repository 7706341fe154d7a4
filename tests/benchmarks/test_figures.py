"""A figure says what it is a ratio of."""

from benchmarks.figures import Figure, median_ms


def test_a_figure_is_a_ratio_of_its_limit() -> None:
    good, bad = Figure("start", 75.0, 150.0, "ms", "of 3"), Figure("start", 300.0, 150.0, "ms")
    assert (good.ratio, bad.ratio) == (0.5, 2.0)
    assert good.line().endswith("75.0 ms of  150.0   ratio  0.50   (of 3)")
    assert bad.line().endswith("ratio  2.00  OVER")


def test_the_median_is_in_milliseconds() -> None:
    assert median_ms([0.1, 0.3, 0.2]) == 200.0
