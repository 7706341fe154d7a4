"""JSON to values and back; orjson where it is installed, with the same results as the standard library.

Not a number and the infinities are not JSON: refused when read, written as null.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import importlib
import json
import math
import os
import uuid
from typing import Any

from . import plainjson


def _accelerated() -> Any:
    try:
        return importlib.import_module("orjson")
    except ImportError:
        return None


orjson: Any = _accelerated()


def decode(body: bytes | str) -> Any:
    """The value; `ValueError` when this is not JSON in UTF-8, in the same words with orjson and without."""
    text = body if isinstance(body, bytes) else body.encode("utf-8")
    if orjson is not None:
        try:
            return orjson.loads(text)
        except ValueError:
            pass
    return plainjson.decode(text)


def encode(value: Any) -> bytes:
    """UTF-8; `TypeError` when something in it has no JSON form."""
    if orjson is None:
        return _encode_plainly(value)
    try:
        text: bytes = orjson.dumps(value, default=plain)
    except orjson.JSONEncodeError:
        text = orjson.dumps(value, default=plain, option=orjson.OPT_NON_STR_KEYS)
    return text


def encode_own(document: Any) -> bytes:
    """A document of ours, whatever texts it quotes: what has no UTF-8 is escaped in it."""
    try:
        return encode(document)
    except TypeError:
        return encode(_escaped(document))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_escaped(key): _escaped(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_escaped(inner) for inner in value]
    return value


def plain(value: Any) -> Any:
    """A value of the JSON types for one that is not (one level; `TypeError` when there is none)."""
    if hasattr(value, "tolist"):  # numpy arrays and scalars, torch tensors
        return value.tolist()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, os.PathLike)):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _encode_plainly(value: Any) -> bytes:
    try:
        text = _text(value)
    except RecursionError as error:
        raise TypeError("it is nested too deeply") from error
    except ValueError as error:
        if "Circular" in str(error):
            raise TypeError("it contains itself") from error
        text = _text(_finite(value))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TypeError("it has text that is not Unicode") from error


def _text(value: Any) -> str:
    return json.dumps(value, default=plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if value is None or isinstance(value, (str, int)):
        return value
    return _finite(plain(value))
