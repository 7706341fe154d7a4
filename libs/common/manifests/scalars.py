"""Resolves scalars with YAML 1.2's core schema: `on`, `yes`, dates and 1.2.3 are text.

Infinity and NaN are text, too: no field accepts them, and JSON cannot represent them.
"""

import re
from math import isfinite
from typing import Final

from libs.common.manifests.nodes import Scalar

NULLS: Final = {"", "~", "null", "Null", "NULL"}
BOOLS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
DECIMAL: Final = re.compile(r"[-+]?[0-9]{1,18}")  # a number that exceeds 64 bits remains text
BASED: Final = re.compile(r"0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}")
FLOAT: Final = re.compile(r"[-+]?(?=.*[.eE])(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,3})?")
FORBIDDEN_CHARACTERS: Final = re.compile(
    "[\0\ud800-\udfff]"
)  # an escape in quotes can contain it; no argument or file name can
CORE: Final = "tag:yaml.org,2002:"
TYPES: Final = {CORE + "null": type(None), CORE + "bool": bool, CORE + "int": int, CORE + "float": float}


def resolve_scalar(text: str, tag: str | None, *, plain: bool) -> Scalar:
    """The value of a scalar; `ValueError` with a message for a tag or a character that is not allowed."""
    if strange := FORBIDDEN_CHARACTERS.search(text):
        raise ValueError(f"character U+{ord(strange[0]):04X} is not allowed; remove it")
    if tag is None:
        return resolve_plain(text) if plain else text
    if tag in ("!", CORE + "str"):
        return text
    if tag not in TYPES:
        raise ValueError(f'tag "{tag}" is not allowed; remove it')
    value = resolve_plain(text)
    if type(value) is not TYPES[tag]:
        raise ValueError(f'"{text[:40]}" does not fit its tag; remove the tag')
    return value


def resolve_plain(text: str) -> Scalar:
    if text in NULLS:
        return None
    if text in BOOLS:
        return BOOLS[text]
    if DECIMAL.fullmatch(text):
        return int(text)
    if BASED.fullmatch(text):
        return int(text, 0)
    if FLOAT.fullmatch(text) and isfinite(float(text)):
        return float(text)
    return text
