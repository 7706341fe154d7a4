from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.terminal import COMMANDING, JOINERS, one_line, printable


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
    assert printable(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_is_left_that_commands_a_terminal(text: str) -> None:
    found = printable(text)
    assert [char for char in found if unicodedata.category(char) in COMMANDING and char not in "\n\t" + JOINERS] == []
    found.encode()
    assert "\n" not in one_line(text)


@given(st.text(st.characters(exclude_categories=())))
def test_json_stays_the_same_json(text: str) -> None:
    assert json.loads(printable(json.dumps([text], ensure_ascii=False))) == [text]
