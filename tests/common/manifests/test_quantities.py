import pytest

from libs.common.manifests import quantities

SIZES = [
    ("1G", 10**9), ("512Mi", 512 * 2**20), ("1.5Gi", 1610612736), ("100k", 100_000), ("1Ki", 1024), ("2E", 2 * 10**18),
    ("1e3", 1000), ("12", 12), (12, 12), (12.0, 12), ("0", 0), ("1000m", 1),
]  # fmt: skip
CORES = [("500m", 0.5), ("2", 2.0), (2, 2.0), (0.25, 0.25), ("0.1", 0.1), ("1k", 1000.0)]
DURATIONS = [
    ("30s", 30.0),
    ("1h", 3600.0), ("24h", 86400.0), ("1m30s", 90.0), ("500ms", 0.5), ("1.5h", 5400.0), ("2d", 172800.0),

    ("1h2m3s4ms", 3723.004), (30, 30.0), (0.5, 0.5), (0, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("written", "expected"), SIZES)
def test_a_size_is_whole_bytes(written: object, expected: int) -> None:
    assert quantities.parse_size(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "500m",
        "1.5",
        "",
        "G",
        "1GB",
        "-1",
        "1 G",
        "0x10",
        True,
        None,
        -1,
        1.5,
        "99E",
        float("nan"),
        float("inf"),
        [],
        "1G\n",
    ],
)
def test_what_is_not_a_size_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"^must be a size such as 512Mi, 1G or a number of bytes$"):
        quantities.parse_size(written)


@pytest.mark.parametrize(("written", "expected"), CORES)
def test_cores_may_be_a_share(written: object, expected: float) -> None:
    assert quantities.parse_cores(written) == expected


@pytest.mark.parametrize(("written", "expected"), DURATIONS)
def test_a_duration_is_seconds(written: object, expected: float) -> None:
    assert quantities.parse_duration(written) == expected


@pytest.mark.parametrize(
    "written", ["", "5", "5x", "s", "1s1m", "-5s", "1..5s", ".s", "5 s", True, None, -1, float("nan"), [], "5s\n"]
)
def test_what_is_not_a_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"^must be a duration such as 30s, 5m, 1h30m or a number of seconds$"):
        quantities.parse_duration(written)


@pytest.mark.parametrize("written", ["9999999d", 10**9, float("inf")])
def test_a_duration_of_years_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"^must be at most 366 days$"):
        quantities.parse_duration(written)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (1, "1"), (1024, "1Ki"), (512 * 2**20, "512Mi"), (2 * 2**30, "2Gi"), (1610612736, "1536Mi"),
     (10**9, "1G"), (2_500_000, "2500k"), (1_000_001, "1000001")],
)  # fmt: skip
def test_a_size_is_written_as_the_shortest_exact_quantity(count: int, text: str) -> None:
    assert quantities.format_size(count) == text
    assert quantities.parse_size(text) == count


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "500ms"), (30.0, "30s"), (5400, "1h30m"), (172800, "2d"), (90061.001, "1d1h1m1s1ms")],
)
def test_a_duration_is_written_in_its_units(seconds: float, text: str) -> None:
    assert quantities.format_duration(seconds) == text
    assert quantities.parse_duration(text) == seconds
