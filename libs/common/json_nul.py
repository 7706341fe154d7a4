"""The character U+0000 in JSON as it is written: PostgreSQL can keep it in no text. Pure."""

from __future__ import annotations

import re

_ESCAPED = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""Behind an odd number of backslashes it would be the text `\\u0000`."""


def contains_nul(document: str) -> bool:
    return "\\u0000" in document and _ESCAPED.search(document) is not None


def replace_nul(document: str) -> str:
    """The replacement character stands for each."""
    return _ESCAPED.sub(r"\1\\ufffd", document) if "\\u0000" in document else document
