"""Names of files, and the rule that each breaks: for the platform and the component runtime, which share no code."""

from __future__ import annotations

EMPTY = "a segment is empty"
DOTS = "a segment may not be . or .."
SLASH = "a name may not hold a slash or backslash"
CONTROL = "a name may not hold control characters"
LONG = "a name may have at most 255 bytes"

NAMES: dict[str, str | None] = {
    "f": None, "a b.txt": None, "日本 é.txt": None, "...": None, ".hidden": None, "a%b": None, "100%": None,
    "a%41": None, "%252e%252e": None, "a%252Fb": None, "n" * 255: None, "é" * 127: None, "\ufffd": None,
    "\U0001fffe": None, "\u200b": None,
    "": EMPTY, ".": DOTS, "..": DOTS, "%2e": DOTS, "%2e%2e": DOTS, "%2E.": DOTS, ".%2e": DOTS,
    "a%2Fb": SLASH, "a%2fb": SLASH, "a\\b": SLASH, "a%5cb": SLASH, "..\\f": SLASH,
    "\0": CONTROL, "a\0b": CONTROL, "a\nb": CONTROL, "a\n": CONTROL, "a\tb": CONTROL, "\x1b[31m": CONTROL,
    "a\x7f": CONTROL, "a\x85": CONTROL, "a\x9f": CONTROL, "a%00": CONTROL, "a%0ab": CONTROL, "a%7f": CONTROL,
    "a%C2%85": CONTROL, "a\ufffe": CONTROL, "a\uffff": CONTROL, "a%EF%BF%BE": CONTROL,
    "a\ud800": CONTROL, "a\udcffb": CONTROL, "b\udfff": CONTROL,
    "n" * 256: LONG, "é" * 128: LONG, "語" * 86: LONG,
}  # fmt: skip
