from __future__ import annotations

import io

import pytest

from services.cli import render


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_500_000, "1.5 MB"), (10**9, "1.0 GB"), (2 * 10**12, "2.0 TB"),
        (None, ""),
    ],
)  # fmt: skip
def test_sizes_are_decimal(count: int | None, expected: str) -> None:
    assert render.size_text(count) == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (None, ""),
        ({"code": "model_missing", "detail": "models/a"}, "model_missing: models/a"),
        ({"code": "error", "detail": None, "exit_code": 3}, "error (exit code 3)"),
        ({"code": "oom"}, "oom"),
    ],
)
def test_a_reason_is_one_line(reason: dict[str, object] | None, expected: str) -> None:
    assert render.reason_text(reason) == expected


def test_a_table_in_a_pipe_is_neither_wrapped_nor_coloured(capsys: pytest.CaptureFixture[str]) -> None:
    render.write_table(["NAME", "STATUS"], [["x" * 200, "live"], ["[bold]y[/]", None]])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert [line.split() for line in out.splitlines()] == [["NAME", "STATUS"], ["x" * 200, "live"], ["[bold]y[/]"]]


def test_progress_is_silent_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with render.transfer_progress("a", 10) as advance:
        advance(5)
    assert capsys.readouterr() == ("", "")


def test_where_there_is_no_terminal_each_change_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with render.live_lines() as draw:
        draw(["one"])
        draw(["one", "two"])
        draw(["three", "two"])
    assert capsys.readouterr() == ("", "one\ntwo\nthree\n")


def test_no_id_is_broken_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("COLUMNS", "40")
    render.write_table(["ID", "NAME", "REASON"], [["r_" + "0" * 30, "a" * 20, "word " * 20]])
    lines = screen.getvalue().splitlines()
    assert f"r_{'0' * 30}  {'a' * 20}  word" in lines[1]
    assert len(lines) > 4


class Screen(io.StringIO):
    """A terminal without colours."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_pairs_are_aligned_and_empty_ones_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    render.write_pairs([("a", 1), ("long", None), ("longer", "x"), ("none", [])])
    assert capsys.readouterr().out == "a       1\nlonger  x\n"


@pytest.mark.parametrize(
    ("done", "total", "bar"),
    [
        (3, 10, "━╌╌╌ 3/10"),
        (3.0, 4.0, "━━━╌ 3/4"),
        (0.5, 1.0, "━━╌╌ 0.5/1"),
        (1234567890.0, 1234567890.0, "━━━━ 1234567890/1234567890"),
        (0.0, 0.0, "╌╌╌╌ 0/0"),
        (9.0, 3.0, "━━━━ 9/3"),
        (-1.0, 3.0, "╌╌╌╌ -1/3"),
        (1.0, -3.0, "╌╌╌╌ 1/-3"),
        (1e308, 1e-308, "━━━━ 1e+308/1e-308"),
    ],
)
def test_a_bar_shows_its_share(done: float, total: float, bar: str) -> None:
    assert render.progress_bar(done, total, width=4) == bar
