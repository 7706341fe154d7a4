"""Text from outside as a terminal may be given it: characters that command the terminal become visible escapes."""

from __future__ import annotations

import json
import re
import unicodedata

CONTROL_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories: controls (C0, DEL, C1), directions and other invisible formats, lone surrogates, ends of lines."""
JOINERS = "\u200c\u200d"
"""Invisible formats that belong to the spelling of some languages, and to emoji."""
_UNCOMMON = re.compile(r"[^ -~\n\t]")


def escape_controls(text: str) -> str:
    """`text` with `\\u001b` for such a character, as JSON writes it. Line ends and tabs stay; CR LF is a line end."""
    return _UNCOMMON.sub(_escape_match, text.replace("\r\n", "\n"))


def escape_to_line(text: str) -> str:
    """The same in one line."""
    return escape_controls(text).replace("\n", "\\n").replace("\t", " ")


def _escape_match(found: re.Match[str]) -> str:
    char = found[0]
    if char in JOINERS or unicodedata.category(char) not in CONTROL_CATEGORIES:
        return char
    return json.dumps(char)[1:-1]
