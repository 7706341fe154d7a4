from __future__ import annotations

import json

import pytest

from libs.common.json_nul import contains_nul, replace_nul

NUL, TEXT = "\0", "\\u0000"


@pytest.mark.parametrize(
    ("value", "there"),
    [("ab", False), (NUL, True), (TEXT, False), ("\\" + NUL, True), ("\\" + TEXT, False), (NUL + NUL + TEXT, True)],
)
def test_the_character_is_told_from_its_name(value: str, there: bool) -> None:
    document = json.dumps({"x": [value]})
    assert contains_nul(document) is there
    assert json.loads(replace_nul(document)) == {"x": [value.replace(NUL, "\ufffd")]}
