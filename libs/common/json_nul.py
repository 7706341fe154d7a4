"""The character U+0000 in encoded JSON: PostgreSQL cannot store it. Pure."""

from __future__ import annotations

import re

_ESCAPED = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""After an odd number of backslashes it is the text `\\u0000`, not the escape."""


def contains_nul(document: str) -> bool:
    return "\\u0000" in document and _ESCAPED.search(document) is not None


def replace_nul(document: str) -> str:
    """Replaces each U+0000 by the replacement character U+FFFD."""
    return _ESCAPED.sub(r"\1\\ufffd", document) if "\\u0000" in document else document
