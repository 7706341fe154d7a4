"""JSON read by the standard library exactly as orjson reads it: what that refuses is refused here, and said. Pure.

The standard library alone takes more than JSON: infinite numbers, halves of surrogate pairs, any depth that its
stack allows. Both read a whole number outside of 64 bits as a floating point number, and the last of equal keys.
"""

from __future__ import annotations

import json
import math
import re
import sys
import threading
from typing import Any, NoReturn

DEPTH = 1024
"""Lists and objects within one another: orjson's own limit."""

_DIGITS = bytes.maketrans(b"123456789E:[ \t\r\n", b"000000000e,,,,,,")
_LONG = b"0" * 20
_LONG_INSIDE = b"," + _LONG
_LONG_NEGATIVE = b"-" + b"0" * 19
_LARGE_EXPONENT = re.compile(rb"0e\+?000")
"""How numbers that the standard library reads otherwise look when every digit is a zero (`_DIGITS`)."""

_ESCAPES = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>\\u[dD][89a-fA-F]..)|\\.")
_DEEP = threading.Lock()


def decode(body: bytes) -> Any:
    """The value; `ValueError` when this is not JSON in UTF-8."""
    text = body.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("it begins with a byte order mark; leave that out")
    if not text:
        raise ValueError("it is empty")
    value = _loads(text, _has_large(body))
    if b"\\" in body and (b"\\ud" in body or b"\\uD" in body):
        _check_surrogates(text)
    if len(body) > 2 * DEPTH and body.count(b"[") + body.count(b"{") > DEPTH:
        _check_depth(value)
    return value


def _has_large(body: bytes) -> bool:
    digits = body.translate(_DIGITS)
    return (
        _LONG_INSIDE in digits
        or _LONG_NEGATIVE in digits
        or digits.startswith(_LONG)
        or _LARGE_EXPONENT.search(digits) is not None
    )


def _loads(text: str, has_large: bool) -> Any:
    try:
        return _parsed(text, has_large)
    except RecursionError:
        return _loads_deep(text, has_large)


def _loads_deep(text: str, has_large: bool) -> Any:
    """Python before 3.12 counts these levels among those of its calls."""
    with _DEEP:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit + DEPTH)
        try:
            return _parsed(text, has_large)
        except RecursionError as error:
            raise _too_deep() from error
        finally:
            sys.setrecursionlimit(limit)


def _parsed(text: str, has_large: bool) -> Any:
    if has_large:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole)
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it has {name}, which JSON does not know; the Open Inference Protocol takes it in binary tensors")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]}{'…' * (len(text) > 40)} is too large")
    return number


def _whole(text: str) -> float:
    if len(text) <= 20 and -(2**63) <= int(text) < 2**64:
        return int(text)
    return _finite(text)


def _check_surrogates(text: str) -> None:
    for escape in _ESCAPES.finditer(text):
        if escape["half"]:
            raise ValueError(f"it has a text with {escape['half']} alone, half of a pair: that is not Unicode")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH):
        level = [inner for one in level for inner in _held(one) if isinstance(inner, (list, dict))]
        if not level:
            return
    raise _too_deep()


def _held(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _too_deep() -> ValueError:
    return ValueError(f"it is nested more than {DEPTH} levels deep")
