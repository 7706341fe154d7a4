"""What an unquoted word means: YAML 1.2's core schema. `on`, `yes`, dates and versions such as 1.2.3 are text."""

import re
from typing import Final

NULLS: Final = {"", "~", "null", "Null", "NULL"}
BOOLS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
DECIMAL: Final = re.compile(r"[-+]?[0-9]{1,19}")  # more digits than 64 bits hold stay text
BASED: Final = re.compile(r"0o[0-7]{1,22}|0x[0-9a-fA-F]{1,16}")
FLOAT: Final = re.compile(r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,3})?")
SPECIAL: Final = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
CORE: Final = "tag:yaml.org,2002:"

Value = None | bool | int | float | str


def resolve(text: str, tag: str | None, *, plain: bool) -> Value:
    """The value of a scalar; `ValueError` with a sentence for a tag that is not one of YAML's core tags."""
    if tag is None:
        return meaning(text) if plain else text
    if tag in ("!", CORE + "str"):
        return text
    expected = {"null": type(None), "bool": bool, "int": int, "float": float}.get(tag.removeprefix(CORE))
    if expected is None:
        raise ValueError(f'tag "{tag}" is not allowed; remove it')
    value = meaning(text)
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise ValueError(f'"{text[:40]}" does not fit its tag "!!{tag.removeprefix(CORE)}"; remove the tag')
    return value


def meaning(text: str) -> Value:
    if text in NULLS:
        return None
    if text in BOOLS:
        return BOOLS[text]
    if DECIMAL.fullmatch(text):
        return int(text)
    if BASED.fullmatch(text):
        return int(text, 0)
    if FLOAT.fullmatch(text) or SPECIAL.fullmatch(text):
        return float(
            text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").lower().replace(".nan", "nan")
        )
    return text
