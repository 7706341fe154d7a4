"""Escapes control characters of untrusted text, so that it cannot command a terminal."""

from __future__ import annotations

import json
import re
import unicodedata

CONTROL_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: controls (C0, DEL, C1), text direction and other invisible formats, surrogates, line ends."""
JOINERS = "\u200c\u200d"
"""Zero-width (non-)joiners: part of the spelling of some languages, and of emoji."""
_UNUSUAL = re.compile(r"[^ -~\n\t]")


def escape_controls(text: str) -> str:
    """`text` with each control character as a JSON escape (`\\u001b`). Line ends and tabs stay; CR LF is a line end."""
    return _UNUSUAL.sub(_escape_match, text.replace("\r\n", "\n"))


def escape_to_line(text: str) -> str:
    """As `escape_controls`, on one line."""
    return escape_controls(text).replace("\n", "\\n").replace("\t", " ")


def _escape_match(match: re.Match[str]) -> str:
    char = match[0]
    if char in JOINERS or unicodedata.category(char) not in CONTROL_CATEGORIES:
        return char
    return json.dumps(char)[1:-1]
