from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.terminal import CONTROL_CATEGORIES, JOINERS, escape_controls, escape_to_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 字 👩\u200d🔬\n\tx", "plain ü 字 👩\u200d🔬\n\tx"),
        ("\x1b]0;title\x07", "\\u001b]0;title\\u0007"),
        ("\x9b2J", "\\u009b2J"),
        ("\x7f\x00", "\\u007f\\u0000"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("100 %\r200 %\r\nend", "100 %\\r200 %\nend"),
        ("\udcff\U000e0041", "\\udcff\\udb40\\udc41"),
        ("a\u2028b", "a\\u2028b"),
    ],
)
def test_what_commands_a_terminal_is_an_escape(text: str, shown: str) -> None:
    assert escape_controls(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_is_left_that_commands_a_terminal(text: str) -> None:
    found = escape_controls(text)
    assert [
        char for char in found if unicodedata.category(char) in CONTROL_CATEGORIES and char not in "\n\t" + JOINERS
    ] == []
    found.encode()
    assert "\n" not in escape_to_line(text)


@given(st.text(st.characters(exclude_categories=())))
def test_json_stays_the_same_json(text: str) -> None:
    assert json.loads(escape_controls(json.dumps([text], ensure_ascii=False))) == [text]
