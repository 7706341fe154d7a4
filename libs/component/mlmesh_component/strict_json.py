"""Strict JSON decoder on the standard library: accepts and refuses the same as orjson, with a reason. Pure.

The standard library alone accepts more than JSON: infinite numbers, lone surrogates, any depth that its stack
allows. Both decode an integer outside of 64 bits as a floating point number, and keep the last of equal keys.
"""

from __future__ import annotations

import json
import math
import re
import sys
import threading
from typing import Any, NoReturn

MAX_DEPTH = 1024
"""Levels of nested lists and objects: orjson's own limit."""

_DIGITS = bytes.maketrans(b"123456789E:[ \t\r\n", b"000000000e,,,,,,")
_LONG = b"0" * 20
_LONG_INSIDE = b"," + _LONG
_LONG_NEGATIVE = b"-" + b"0" * 19
_LARGE_EXPONENT = re.compile(rb"0e\+?000")
"""Patterns of numbers that need the slow path, in a text whose digits `_DIGITS` has made zeros."""

_ESCAPES = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>\\u[dD][89a-fA-F]..)|\\.")
_RECURSION_LIMIT_LOCK = threading.Lock()


def decode(body: bytes) -> Any:
    """Decode JSON in UTF-8; raises `ValueError` with the reason."""
    text = body.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("it begins with a byte order mark; leave that out")
    if not text:
        raise ValueError("it is empty")
    value = _load_text(text, _has_large_numbers(body))
    if b"\\" in body and (b"\\ud" in body or b"\\uD" in body):
        _check_surrogates(text)
    if len(body) > 2 * MAX_DEPTH and body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    return value


def _has_large_numbers(body: bytes) -> bool:
    digits = body.translate(_DIGITS)
    return (
        _LONG_INSIDE in digits
        or _LONG_NEGATIVE in digits
        or digits.startswith(_LONG)
        or _LARGE_EXPONENT.search(digits) is not None
    )


def _load_text(text: str, has_large: bool) -> Any:
    try:
        return _parse_text(text, has_large)
    except RecursionError:
        return _load_deep_text(text, has_large)


def _load_deep_text(text: str, has_large: bool) -> Any:
    """Raise the recursion limit: before Python 3.12 the decoder's levels count as calls."""
    with _RECURSION_LIMIT_LOCK:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit + MAX_DEPTH)
        try:
            return _parse_text(text, has_large)
        except RecursionError as error:
            raise _depth_error() from error
        finally:
            sys.setrecursionlimit(limit)


def _parse_text(text: str, has_large: bool) -> Any:
    if has_large:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_parse_finite, parse_int=_parse_integer)
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it has {name}, which JSON does not know; the Open Inference Protocol takes it in binary tensors")


def _parse_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]}{'…' * (len(text) > 40)} is too large")
    return number


def _parse_integer(text: str) -> float:
    if len(text) <= 20 and -(2**63) <= int(text) < 2**64:
        return int(text)
    return _parse_finite(text)


def _check_surrogates(text: str) -> None:
    for escape in _ESCAPES.finditer(text):
        if escape["half"]:
            raise ValueError(f"it has a text with {escape['half']} alone, half of a pair: that is not Unicode")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for container in level for inner in _list_children(container) if isinstance(inner, (list, dict))]
        if not level:
            return
    raise _depth_error()


def _list_children(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _depth_error() -> ValueError:
    return ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
