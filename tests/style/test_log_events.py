"""Events in logs are written alike: a capital first, no full stop, what differs from line to line in fields."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
LOG_FUNCTIONS = {"log_event", "_log_event", "_log_change"}
"""Functions that log an event which their caller names."""


def find_events() -> Iterator[tuple[str, str]]:
    """The place and the beginning of each event; one that a variable holds is found where it is named."""
    for package in ("services", "libs/common"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and is_log_call(node.func):
                    place = f"{path.relative_to(ROOT)}:{node.lineno}"
                    yield from ((place, text) for argument in node.args for text in list_texts(argument))


def is_log_call(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute) and function.attr in LEVELS:
        return "log" in ast.unparse(function.value)
    return ast.unparse(function).rpartition(".")[2] in LOG_FUNCTIONS


def list_texts(argument: ast.expr) -> list[str]:
    match argument:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            return [text]
        case ast.IfExp(body=body, orelse=orelse):
            return [*list_texts(body), *list_texts(orelse)]
    return []


def test_events_begin_with_a_capital_and_end_without_a_full_stop() -> None:
    events = list(find_events())
    assert len(events) > 50
    wrong = [f"{place} {text}" for place, text in events if not text[:1].isupper() or text.endswith(".")]
    assert not wrong, "write the event like the others: " + ", ".join(wrong)
